#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace knlp::app {

/// Options every subcommand has. `--json`: the result as one JSON value on stdout, messages on stderr.
struct Common {
    std::string config;                      // --config FILE; "" = $KCONFIG_CONFIG or ./.config
    std::vector<std::string> set;            // --set NAME=VALUE
    std::string out;                         // --out
    bool json = false, quiet = false, dry_run = false;
    std::string command_line;
};

/// A row of the command table (list `cmd` in src/app/commands/Build.mk). `add_options` declares flags on
/// its CLI11 subcommand, keeping values in static storage of its file or in the returned closure.
struct Command {
    std::string_view name, summary;
    std::string_view needs;                  // build symbol, or ""
    /// Declares options; returns what runs when the verb was given: its value is the exit status.
    std::function<int(const Common&)> (*add_options)(CLI::App& app);
};
std::span<const Command* const> commands();

}  // namespace knlp::app
