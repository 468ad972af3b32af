// Precompiled for plain objects: what most of them include and what takes longest to read. Files still
// include what they use; NO_PCH=1 builds without this.
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
#include <nlohmann/json.hpp>
