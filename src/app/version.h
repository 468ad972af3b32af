#pragma once

#include <string>

namespace knlp::app {

/// What this binary is and what it is made from, for people (one fact a line) and as one JSON
/// value.
std::string version_text();
std::string version_json();

}  // namespace knlp::app
