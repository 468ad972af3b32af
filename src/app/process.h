#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace knlp::app {

/// Distinct files mapped into this process whose name starts with `prefix`, such as "libgomp";
/// sorted.
std::vector<std::string> mapped_files(std::string_view prefix);

}  // namespace knlp::app
