#pragma once

#include "knlp/app/command.h"

#include <filesystem>
#include <string>

namespace knlp::app {

/// OUTPUT_DIR of the configuration in force, or of the defaults where there is none.
std::filesystem::path configured_output_dir(const Common& common);

/// What can be gone on with, and when it began (UTC); both empty when there is nothing.
struct Unfinished {
    std::filesystem::path path;
    std::string started;
};
/// The newest run that can go on, below OUTPUT_DIR or, made with --out, only in the index. Cells of
/// a matrix are not meant.
Unfinished newest_unfinished_run(const std::filesystem::path& output_dir);

}  // namespace knlp::app
