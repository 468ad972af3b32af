#include "src/app/cli.h"
#include "src/app/help.h"

#include "knlp/core/error.h"

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

bool has_option(const CLI::App& app, const std::string& name) {
    return app.get_option_no_throw(name) != nullptr;
}

/// Common options a verb has not declared itself.
void add_common_options(CLI::App& app, Common& common) {
    if (!has_option(app, "--config"))
        app.add_option("--config", common.config,
                       "configuration file or run directory (default: .config)")
            ->type_name("FILE")
            ->group(kCommonGroup);
    if (!has_option(app, "--set"))
        app.add_option("--set", common.set, "change one symbol for this call (repeatable)")
            ->type_name("NAME=VALUE")
            ->allow_extra_args(false)
            ->group(kCommonGroup);
    if (!has_option(app, "--seed"))
        app.add_option("--seed", common.seed, "same as --set SEED=N")
            ->type_name("N")
            ->group(kCommonGroup);
    if (!has_option(app, "--out"))
        app.add_option("--out", common.out, "where the result goes")
            ->type_name("PATH")
            ->group(kCommonGroup);
    if (!has_option(app, "--json"))
        app.add_flag("--json", common.json, "result as JSON on stdout")->group(kCommonGroup);
    if (!has_option(app, "--quiet"))
        app.add_flag("--quiet", common.quiet, "only warnings and errors on stderr")
            ->group(kCommonGroup);
    if (!has_option(app, "--dry-run"))
        app.add_flag("--dry-run", common.dry_run, "say what would be done, change nothing")
            ->group(kCommonGroup);
    // Set again, so that it comes last.
    app.set_help_flag("-h,--help", "print this help and exit")->group(kCommonGroup);
}

std::string footer_of(const Command& command, const std::string& own) {
    std::string text = own.empty() ? "" : own + "\n\n";
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

/// Unknown words are collected instead of thrown, so that they can be answered with near names;
/// options of a verb are accepted after its subcommand too, and its help says so. nested: a
/// subcommand of a verb.
void relax(CLI::App& app, bool nested, const std::string& path) {
    app.allow_extras();
    for (CLI::App* sub : app.get_subcommands({}))
        relax(*sub, app.get_parent() != nullptr, path + " " + sub->get_name());
    if (!nested) return;
    app.fallthrough();
    const std::string parent = path.substr(0, path.rfind(' '));
    app.footer(
        fmt::format("{}{}Options of all its subcommands, examples and exit statuses: {} --help.",
                    app.get_footer(), app.get_footer().empty() ? "" : "\n\n", parent));
}

/// "knlp data linuxdoc": the deepest subcommand that was named.
CLI::App* deepest(CLI::App* app, std::string& path) {
    while (!app->get_subcommands().empty()) {
        app = app->get_subcommands().back();
        path += " " + app->get_name();
    }
    return app;
}

std::vector<std::string> option_names(const CLI::App* app) {
    std::vector<std::string> names;
    for (; app; app = app->get_parent())
        for (const CLI::Option* option : app->get_options())
            for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    return names;
}

std::vector<std::string> subcommand_names(CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::App* sub : app.get_subcommands({})) names.push_back(sub->get_name());
    return names;
}

void refuse_extras(Cli& cli) {
    const std::vector<std::string> extras = cli.app.remaining(true);
    std::string path = "knlp";
    CLI::App* app = deepest(&cli.app, path);
    if (extras.empty()) return;
    const std::string word = extras.front().substr(0, extras.front().find('='));
    if (word.starts_with("-"))
        fail(kUsage, "{}: unknown option {}{}; {} --help lists them", path, word,
             did_you_mean(word, option_names(app)), path);
    const std::vector<std::string> names = subcommand_names(*app);
    if (!names.empty())
        fail(kUsage, "{}: unknown subcommand {}{}; {} --help lists them", path, word,
             did_you_mean(word, names), path);
    fail(kUsage, "{}: unexpected argument '{}'; {} --help says what is expected", path,
         extras.front(), path);
}

/// The first word that is no option must be a verb.
void require_verb(Cli& cli, int argc, const char* const* argv) {
    const std::vector<std::string> names = subcommand_names(cli.app);
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
    cli.app.formatter(std::make_shared<HelpFormatter>());
    cli.app.require_subcommand(0, 1);
    cli.app.set_help_flag("-h,--help", "print this help and exit");
    cli.app.add_flag("--version", cli.version,
                     "print versions of knlp and of what it is built from");
    cli.app.add_flag("--json", cli.common.json, "with --version: as JSON");
    for (const Command* command : commands()) {
        CLI::App* sub =
            cli.app.add_subcommand(std::string(command->name), std::string(command->summary));
        sub->group("Commands");
        cli.verbs.push_back({command, sub, command->add_options(*sub)});
        add_common_options(*sub, cli.common);
        sub->footer(footer_of(*command, sub->get_footer()));
    }
    relax(cli.app, false, "knlp");
    cli.app.footer(
        "knlp VERB --help says more. Symbols: knlp config list. First aid: knlp doctor.");
}

const Cli::Verb* parse_command_line(Cli& cli, int argc, const char* const* argv) {
    for (int i = 0; i < argc; ++i) cli.common.command_line += (i ? " " : "") + std::string(argv[i]);
    require_verb(cli, argc, argv);
    try {
        cli.app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        const std::string text = cli.app.help();
        std::fwrite(text.data(), 1, text.size(), stdout);
        return nullptr;
    } catch (const CLI::ParseError& error) {
        std::string path = "knlp";
        deepest(&cli.app, path);
        refuse_extras(cli);
        fail(kUsage, "{}: {}; {} --help says what is expected", path, one_line(error.what()), path);
    }
    refuse_extras(cli);
    if (cli.version) return nullptr;
    for (const Cli::Verb& verb : cli.verbs)
        if (verb.app->parsed()) return &verb;
    fail(kUsage, "no command given; knlp --help lists them");
}

std::string config_path(const Common& common) {
    const std::string path = common.config.empty() ? config::default_config_path() : common.config;
    std::error_code error;
    const bool run_directory = std::filesystem::is_directory(path, error);
    return run_directory ? (std::filesystem::path(path) / "config").string() : path;
}

config::Symbols load_symbols(const Common& common, std::vector<config::Symbols::Override> flags) {
    std::vector<config::Symbols::Override> overrides = config::collect_overrides(common.set);
    if (!common.seed.empty()) flags.push_back({"SEED", common.seed, config::Origin::kFlag});
    for (config::Symbols::Override& flag : flags) {
        flag.origin = config::Origin::kFlag;
        overrides.push_back(std::move(flag));
    }
    const std::string path = config_path(common);
    if (path.empty())
        fail_code(kConfig, "E_NO_CONFIG",
                  "no configuration found (.config); run make menuconfig or make "
                  "defconfig-NAME, or give --config FILE or a run directory");
    return config::Symbols::load(path, overrides);
}

}  // namespace knlp::app
