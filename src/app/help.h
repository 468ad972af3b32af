#pragma once

#include "src/app/parser.h"

#include <string>

namespace knlp::app {

/// Help as a newcomer reads it: what it does, how it is called, its commands, its own options, the
/// common ones, examples and exit statuses; two columns, 80 wide. path: "knlp data linuxdoc".
std::string help_text(Parser parser, const std::string& path);

}  // namespace knlp::app
