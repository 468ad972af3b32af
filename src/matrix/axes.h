#pragma once

#include "knlp/matrix/plan.h"

#include <filesystem>
#include <string>
#include <vector>

namespace knlp::config {
struct MenuAxis;
}

namespace knlp::matrix {

/// Axes of MATRIX_AXES: "SYM=a|b; SYM2=lo:step:hi". SYM is a symbol or the name of a choice, whose
/// values are its members as with --set. A range has exact decimals, as many as its step; what is
/// listed stays as it is written. Error{kConfig} for a symbol that is unknown (near names), not of
/// the user, or says nothing about a result, and for a value outside its type; Error{kUsage} for
/// what is no such text, an axis or a value that is there twice. `where` begins messages.
std::vector<Axis> parse_axes(const std::string& text, const std::string& where);

/// Axes of a sweep file: a line CONFIG_SYM=a|b or CONFIG_SYM=lo:step:hi each; blank lines and what
/// follows '#' are passed over. The same errors, with file and line.
std::vector<Axis> read_sweep_file(const std::filesystem::path& file);

Axis axis_of(const config::MenuAxis& menu);

/// Error{kUsage} when two axes are about one symbol.
void require_distinct(const std::vector<Axis>& axes);

}  // namespace knlp::matrix
