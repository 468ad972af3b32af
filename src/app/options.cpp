#include "src/app/cli.h"
#include "src/app/help.h"

#include "knlp/config/general.h"
#include "knlp/core/error.h"
#include "knlp/core/log.h"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace knlp::app {
namespace {

constexpr ExitStatus kStatuses[] = {
    {0, "done"},
    {1, "a check ran and its answer is no"},
    {2, "wrong usage or configuration"},
    {3, "bad input data"},
    {4, "the run failed, or would not fit"},
    {5, "not available: not built, or a device, library or permission is missing"},
    {6, "locked by another process"},
    {70, "internal error"},
    {75, "stopped early, can be resumed (SIGTERM, SIGUSR1)"},
    {130, "interrupted (SIGINT), can be resumed"},
};

/// Common options a verb has not declared itself.
void add_common_options(Parser verb, Common& common) {
    if (!verb.has_option("--config"))
        verb.add_option("--config", common.config,
                        "configuration file or run directory (default: .config)")
            .type_name("FILE")
            .group(kCommonGroup);
    if (!verb.has_option("--set"))
        verb.add_option(
                "--set", common.set,
                "change one symbol, or the member of a choice (GEMM_BACKEND=native), for this call "
                "(repeatable)")
            .type_name("NAME=VALUE")
            .one_at_a_time()
            .group(kCommonGroup);
    if (!verb.has_option("--seed"))
        verb.add_option("--seed", common.seed, "same as --set SEED=N")
            .type_name("N")
            .group(kCommonGroup);
    if (!verb.has_option("--out"))
        verb.add_option("--out", common.out, "where the result goes")
            .type_name("PATH")
            .group(kCommonGroup);
    if (!verb.has_option("--json"))
        verb.add_flag("--json", common.json, "result as JSON on stdout").group(kCommonGroup);
    if (!verb.has_option("--quiet"))
        verb.add_flag("--quiet", common.quiet, "only warnings and errors on stderr")
            .group(kCommonGroup);
    if (!verb.has_option("--dry-run"))
        verb.add_flag("--dry-run", common.dry_run, "say what would be done, change nothing")
            .group(kCommonGroup);
    verb.add_help().group(kCommonGroup);
}

std::string footer_of(const Command& command) {
    std::string text;
    if (!command.examples.empty()) {
        text += "Examples:\n";
        std::string_view rest = command.examples;
        while (!rest.empty()) {
            const size_t end = std::min(rest.find('\n'), rest.size());
            text += fmt::format("  {}\n", rest.substr(0, end));
            rest.remove_prefix(std::min(end + 1, rest.size()));
        }
        text += "\n";
    }
    text += "Exit status:\n";
    for (const ExitStatus& row : kStatuses)
        text += fmt::format("  {:<4} {}\n", row.status, row.meaning);
    text.pop_back();
    return text;
}

/// "knlp data linuxdoc": the deepest subcommand that was named.
Parser deepest(Parser parser, std::string& path) {
    while (const Parser sub = parser.parsed_subcommand()) {
        parser = sub;
        path += " " + parser.name();
    }
    return parser;
}

std::vector<std::string> option_names(Parser parser) {
    std::vector<std::string> names;
    for (; parser; parser = parser.parent())
        for (const OptionFacts& option : parser.options())
            names.insert(names.end(), option.long_names.begin(), option.long_names.end());
    return names;
}

std::vector<std::string> subcommand_names(Parser parser) {
    std::vector<std::string> names;
    for (const Parser& sub : parser.subcommands()) names.push_back(sub.name());
    return names;
}

/// Unknown words are answered with near names.
void refuse_unknown_words(const Cli& cli) {
    const std::vector<std::string> words = cli.tree.unknown_words();
    if (words.empty()) return;
    std::string path = "knlp";
    const Parser parser = deepest(cli.tree.root(), path);
    const std::string word = words.front().substr(0, words.front().find('='));
    if (word.starts_with("-"))
        fail(kUsage, "{}: unknown option {}{}; {} --help lists them", path, word,
             did_you_mean(word, option_names(parser)), path);
    const std::vector<std::string> names = subcommand_names(parser);
    if (!names.empty())
        fail(kUsage, "{}: unknown subcommand {}{}; {} --help lists them", path, word,
             did_you_mean(word, names), path);
    fail(kUsage, "{}: unexpected argument '{}'; {} --help says what is expected", path,
         words.front(), path);
}

/// The first word that is no option must be a verb.
void require_verb(const Cli& cli, int argc, const char* const* argv) {
    const std::vector<std::string> names = subcommand_names(cli.tree.root());
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (word.starts_with("-")) continue;
        if (std::find(names.begin(), names.end(), word) == names.end())
            fail(kUsage, "unknown command {}{}; knlp --help lists them", word,
                 did_you_mean(word, names));
        return;
    }
}

std::string one_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

}  // namespace

std::span<const ExitStatus> exit_statuses() {
    return kStatuses;
}

void build_cli(Cli& cli) {
    Parser root = cli.tree.root();
    root.add_flag("--version", cli.version, "print versions of knlp and of what it is built from");
    root.add_flag("--variants", cli.variants, "list the attention variants in this binary");
    root.add_flag("--json", cli.common.json, "with --version or --variants: as JSON");
    for (const Command* command : commands()) {
        Parser verb = root.add_subcommand(command->name, command->summary);
        cli.verbs.push_back({command, verb, command->add_options(verb)});
        add_common_options(verb, cli.common);
        verb.set_footer(footer_of(*command));
        for (Parser sub : verb.subcommands())
            sub.set_footer(fmt::format(
                "Options of all its subcommands, examples and exit statuses: knlp {} --help.",
                command->name));
    }
    root.set_footer(
        "knlp VERB --help says more. Symbols: knlp config list. First aid: knlp doctor.");
}

const Cli::Verb* parse_command_line(Cli& cli, int argc, const char* const* argv) {
    for (int i = 0; i < argc; ++i) cli.common.command_line += (i ? " " : "") + std::string(argv[i]);
    require_verb(cli, argc, argv);
    const ParserTree::Outcome outcome = cli.tree.parse(argc, argv);
    std::string path = "knlp";
    const Parser parser = deepest(cli.tree.root(), path);
    if (outcome.help_wanted) {
        const std::string text = help_text(parser, path);
        std::fwrite(text.data(), 1, text.size(), stdout);
        return nullptr;
    }
    refuse_unknown_words(cli);
    if (!outcome.mistake.empty())
        fail(kUsage, "{}: {}; {} --help says what is expected", path, one_line(outcome.mistake),
             path);
    if (cli.version || cli.variants) return nullptr;
    for (const Cli::Verb& verb : cli.verbs)
        if (verb.parser.parsed()) return &verb;
    fail(kUsage, "no command given; knlp --help lists them");
}

std::string config_path(const Common& common) {
    const std::string path = common.config.empty() ? config::default_config_path() : common.config;
    std::error_code error;
    const bool run_directory = std::filesystem::is_directory(path, error);
    return run_directory ? (std::filesystem::path(path) / "config").string() : path;
}

namespace {

/// All overrides, lowest precedence first.
std::vector<config::Symbols::Override> overrides_of(const Common& common,
                                                    std::vector<config::Symbols::Override> flags) {
    std::vector<config::Symbols::Override> overrides = config::collect_overrides(common.set);
    if (!common.seed.empty()) flags.push_back({"SEED", common.seed, config::Origin::kFlag});
    for (config::Symbols::Override& flag : flags) {
        flag.origin = config::Origin::kFlag;
        overrides.push_back(std::move(flag));
    }
    return overrides;
}

/// Messages from now on as LOG_LEVEL says, unless --quiet has said otherwise.
config::Symbols obeyed(const Common& common, config::Symbols symbols) {
    const std::string level = config::read_general(symbols).log_level;
    if (!common.quiet)
        log::set_level(level == "DEBUG"     ? log::Level::kDebug
                       : level == "WARNING" ? log::Level::kWarning
                       : level == "ERROR"   ? log::Level::kError
                                            : log::Level::kInfo);
    return symbols;
}

}  // namespace

config::Symbols load_symbols(const Common& common, std::vector<config::Symbols::Override> flags) {
    const std::string path = config_path(common);
    if (path.empty())
        fail_code(kConfig, "E_NO_CONFIG",
                  "no configuration found (.config); run make menuconfig or make "
                  "defconfig-NAME, or give --config FILE or a run directory");
    return obeyed(common, config::Symbols::load(path, overrides_of(common, std::move(flags))));
}

config::Symbols load_symbols_or_defaults(const Common& common,
                                         std::vector<config::Symbols::Override> flags) {
    if (!config_path(common).empty()) return load_symbols(common, std::move(flags));
    return obeyed(common, config::Symbols::from_values({}, overrides_of(common, std::move(flags))));
}

}  // namespace knlp::app
