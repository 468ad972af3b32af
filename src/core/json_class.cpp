// JSON's class for all objects: each would make what it uses of it otherwise.
#include <nlohmann/json.hpp>

template class nlohmann::basic_json<>;
