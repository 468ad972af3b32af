#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace knlp::report {

/// Where the time of a training step goes, from the `details` of `knlp bench step --breakdown`:
/// "groups" and "nodes". Each region is a box as wide as its share of the step, its inner regions
/// below it, coloured by group; text in a box is left out where it does not fit, its tooltip stays.

/// The picture as a document of its own.
std::string flame_svg(const nlohmann::json& breakdown);
/// A section of a page: the picture, inline, and the groups as a table.
std::string flame_html(const nlohmann::json& breakdown);
std::string flame_css();
/// "" or what a breakdown read from a file lacks to be drawn.
std::string flame_problem(const nlohmann::json& breakdown);

}  // namespace knlp::report
