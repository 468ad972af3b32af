// Precompiled for plain objects: what most of them include and what takes longest to read. Files
// still include what they use; NO_PCH=1 builds without this.
#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

// Json's literals are functions, for which every object that loads this would compile a parser.
// They may not be used: what follows their names becomes a template that is never made.
#define _json(text, n)                   \
    _json(const char*, size_t) = delete; \
    template <class>                     \
    nlohmann::json no_literal(text, n)
#define _json_pointer(text, n)                   \
    _json_pointer(const char*, size_t) = delete; \
    template <class>                             \
    nlohmann::json::json_pointer no_pointer_literal(text, n)
#include <nlohmann/json.hpp>
#undef _json
#undef _json_pointer
extern template class nlohmann::basic_json<>;  // made in core/json_class.cpp
