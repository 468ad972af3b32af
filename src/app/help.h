#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace knlp::app {

/// Help as a newcomer reads it: what it does, how it is called, its commands, its own options, the
/// common ones, examples and exit statuses; two columns, 80 wide.
class HelpFormatter : public CLI::Formatter {
public:
    std::string make_help(const CLI::App* app, std::string name,
                          CLI::AppFormatMode mode) const override;
    std::string make_usage(const CLI::App* app, std::string name) const override;
    std::string make_option(const CLI::Option* option, bool is_positional) const override;
    std::string make_subcommand(const CLI::App* sub) const override;
};

/// "FILE", "N", …: what an option wants, without the list of allowed words; "" for a flag.
std::string value_name(const CLI::Option& option);

}  // namespace knlp::app
