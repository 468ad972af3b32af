#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace knlp::matrix {

/// Members of an object that a run wrote, which may lack them or have others.

/// "" where there is no such text.
std::string text_at(const nlohmann::json& object, const char* name);
/// kUnknown where there is no such number.
double real_at(const nlohmann::json& object, const char* name);
std::optional<int64_t> whole_at(const nlohmann::json& object, const char* name);
/// Nothing where there is no true or false.
std::optional<bool> flag_at(const nlohmann::json& object, const char* name);

}  // namespace knlp::matrix
