#pragma once

#include <string>

#include "run_data.h"

namespace knlp::report {

/// The page of one run: a single HTML file that is well-formed XML too, without scripts or
/// references to anything outside it. Same run, same bytes.
std::string page_html(const RunData& run);

/// Rules of the page without its colours.
std::string page_css();

}  // namespace knlp::report
