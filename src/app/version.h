#pragma once

#include <string>

namespace knlp::app {

/// What this binary is and what it is made from, for people (one fact a line) and as one JSON
/// value.
std::string version_text();
std::string version_json();

/// The attention variants in this binary: name, the symbol that builds it in, what it is.
std::string variants_text(bool json);

}  // namespace knlp::app
