#include "src/app/cli.h"

#include "knlp/config/build_info.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace knlp::app {
namespace {

/// Text for roff: backslashes and hyphens kept, no line taken for a request.
std::string roff(std::string_view text) {
    std::string out;
    bool line_start = true;
    for (const char c : text) {
        if (line_start && (c == '.' || c == '\'')) out += "\\&";
        if (c == '\\')
            out += "\\e";
        else if (c == '-')
            out += "\\-";
        else
            out += c;
        line_start = c == '\n';
    }
    return out;
}

std::string option_term(const CLI::Option& option) {
    std::string term = option.get_positional() ? "" : "\\fB" + roff(option.get_name(false, true)) + "\\fR";
    std::string type = option.get_type_name();
    type.erase(std::min(type.find(':'), type.size()));           // without the list of allowed words
    if (option.get_positional())
        term = "\\fI" + roff(type.empty() ? option.get_name(true) : type) + "\\fR";
    else if (option.get_type_size() != 0)
        term += " \\fI" + roff(type) + "\\fR";
    return term;
}

std::string options_text(const CLI::App& app, bool common) {
    std::string text;
    for (const CLI::Option* option : app.get_options()) {
        if ((option->get_group() == kCommonGroup) != common) continue;
        if (!common && option->check_lname("help")) continue;      // every verb has it; said once
        text += fmt::format(".TP\n{}\n{}\n", option_term(*option), roff(option->get_description()));
    }
    return text;
}

std::string examples_text(std::string_view examples) {
    if (examples.empty()) return "";
    return fmt::format(".PP\n.nf\n{}\n.fi\n", roff(examples));
}

std::string command_text(const Cli::Verb& verb) {
    std::string text = fmt::format(".SS knlp {}\n{}.\n", roff(verb.command->name), roff(verb.command->summary));
    text += options_text(*verb.app, false);
    for (const CLI::App* sub : verb.app->get_subcommands({})) {
        text += fmt::format(".TP\n\\fBknlp {} {}\\fR\n{}\n", roff(verb.command->name), roff(sub->get_name()),
                            roff(sub->get_description()));
        const std::string options = options_text(*sub, false);
        if (!options.empty()) text += ".RS\n" + options + ".RE\n";
    }
    return text + examples_text(verb.command->examples);
}

constexpr std::string_view kDescription =
    R"(knlp does machine-learning research the way the Linux kernel is built: an experiment is a
.I .config
file, made by
.B make menuconfig
or
.BR "make defconfig-NAME" ,
and one native binary runs it. What comes out is a run directory that can be checked, resumed, compared and
shown. The binary never uses the network.
)";

constexpr std::string_view kEnvironment =
    R"(.TP
.B KCONFIG_CONFIG
Configuration file when \-\-config is not given.
.TP
.B KNLP_SET
Settings, NAME=VALUE separated by blanks; \-\-set has precedence.
.TP
.B KNLP_ISA
Instruction set of the kernels: scalar, avx2 or avx512.
.TP
.B NO_COLOR
When set, no colours.
)";

std::string page(Cli& cli) {
    std::string text = fmt::format(".TH KNLP 1 \"\" \"knlp {}\" \"knlp\"\n", config::build_info().version);
    text += ".SH NAME\nknlp \\- train, evaluate and study language models from a Kconfig\n";
    text += ".SH SYNOPSIS\n.B knlp\n.I command\n.RI [ options ]\n.br\n.B knlp \\-\\-version\n.RB [ \\-\\-json ]\n";
    text += fmt::format(".SH DESCRIPTION\n{}.SH COMMANDS\n", kDescription);
    for (const Cli::Verb& verb : cli.verbs) text += command_text(verb);
    text += ".SH OPTIONS OF ALL COMMANDS\n" + options_text(*cli.verbs.front().app, true);
    text += fmt::format(".SH ENVIRONMENT\n{}.SH EXIT STATUS\n", kEnvironment);
    for (const ExitStatus& row : exit_statuses()) text += fmt::format(".TP\n.B {}\n{}\n", row.status, roff(row.meaning));
    text += ".SH FILES\n.TP\n.I .config\nConfiguration in the current directory.\n";
    text += ".TP\n.I results/runs/\nRun directories; each keeps its configuration in\n.IR config .\n";
    return text;
}

int run(const Common&) {
    Cli cli;
    build_cli(cli);
    const std::string text = page(cli);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
}

std::function<int(const Common&)> add_options(CLI::App&) { return run; }

}  // namespace

extern const Command cmd_man;
const Command cmd_man = {
    .name = "man",
    .summary = "print the manual page (roff)",
    .needs = "",
    .add_options = add_options,
    .examples = "knlp man | man -l -"};

}  // namespace knlp::app
