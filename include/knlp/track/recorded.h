#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace knlp::track {

/// How records name things, so that they can be passed on: no place of one machine's, and no name
/// of the machine or of its processes.

/// An absolute path relative to the directory knlp runs in; any other as it is.
std::string recorded_path(const std::filesystem::path& path);
/// A command line or a message with its absolute paths so, after "=" too: "--set
/// OUTPUT_DIR=/tree/out".
std::string recorded_command(std::string_view command_line);
/// The text of a .config, or of config.resolved.json, with the places so that may differ from
/// machine to machine: values of symbols that a resume may change.
std::string recorded_config(std::string_view dot_config);
std::string recorded_settings(std::string_view resolved_json);
/// Tells this process from any other, and nothing else.
std::string process_key();

}  // namespace knlp::track
