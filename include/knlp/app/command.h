#pragma once

#include "knlp/config/symbols.h"

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::app {

class Parser;

/// Options every subcommand has. `--json`: the result as one JSON value on stdout, messages on
/// stderr.
struct Common {
    std::string config;            // --config FILE; "" = $KCONFIG_CONFIG or ./.config
    std::vector<std::string> set;  // --set NAME=VALUE
    std::string out;               // --out
    std::string seed;              // --seed, "" when not given; also in load_symbols()
    bool json = false, quiet = false, dry_run = false;
    std::string command_line;
};

/// A row of the command table (list `cmd` in src/app/commands/Build.mk). `add_options` declares
/// flags on its parser, keeping values in static storage of its file or in the returned closure. A
/// verb that declares an option of Common itself (generate's --seed) gets its own, not the common
/// one.
struct Command {
    std::string_view name, summary;
    std::string_view needs;  // build symbol, or ""
    /// Declares options; returns what runs when the verb was given: its value is the exit status.
    std::function<int(const Common&)> (*add_options)(Parser verb);
    std::string_view examples = {};  // lines of --help and the man page, "knlp train\nknlp …"
    /// It looks at stop_signal(): main then installs the handlers. Other verbs end at the first
    /// signal.
    bool handles_stop = false;
    /// Its threads wait as wait_briefly() says: worth starting the program twice.
    bool runs_for_long = false;
    /// Its result is what it prints: --out FILE then takes all of that. Other verbs heed
    /// Common::out.
    bool prints_result = false;
    /// Symbols it goes by, separated by blanks; "*" is all. --set of another is refused, not
    /// ignored.
    std::string_view obeys = "*";
};
std::span<const Command* const> commands();

/// A part of a verb's result. Whether all of it could be written is looked at once, at the end.
void put_text(std::string_view text);

/// Runs a verb whose result is what it prints. With --out that goes to the file: all of it or, when
/// the verb fails, nothing; a dry run changes nothing, so it prints. Error{kRun} when the file
/// cannot be written. After a failure stdout stays turned away; the process ends then.
int run_printing(Common common, const std::function<int(const Common&)>& verb);

/// The configuration file a verb reads: --config, else $KCONFIG_CONFIG, else ./.config; "" when
/// there is none.
std::string config_path(const Common& common);

/// Configuration with all overrides applied, lowest precedence first: file, KNLP_SET, make, --set,
/// then
/// --seed and `flags` (a verb's dedicated flags, such as {"GPT2_MAX_ITERS", "20"}; origin is set to
/// flag). Error{kConfig, "E_NO_CONFIG"} (status 2) when there is no file: it lists the ways to get
/// one. Messages are of LOG_LEVEL from then on.
config::Symbols load_symbols(const Common& common,
                             std::vector<config::Symbols::Override> flags = {});
/// The same, with the defaults in place of a file that is not there.
config::Symbols load_symbols_or_defaults(const Common& common,
                                         std::vector<config::Symbols::Override> flags = {});

}  // namespace knlp::app
