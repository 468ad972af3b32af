#include "src/app/cli.h"

#include "knlp/config/build_info.h"

#include <fmt/format.h>

#include <cstdio>

namespace knlp::app {
namespace {

/// Next character of UTF-8 text as "[uXXXX]"'s number, `bytes` long; malformed bytes stand for
/// themselves.
uint32_t code_point(std::string_view text, size_t& bytes) {
    const auto byte = [&](size_t i) {
        return static_cast<uint32_t>(static_cast<unsigned char>(text[i]));
    };
    bytes = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : byte(0) >= 0xc0 ? 2 : 1;
    if (bytes > text.size()) bytes = 1;
    if (bytes == 1) return byte(0);
    uint32_t code = byte(0) & (0xffu >> (bytes + 1));
    for (size_t i = 1; i < bytes; ++i) code = code << 6 | (byte(i) & 0x3fu);
    return code;
}

/// Text for roff: backslashes and hyphens kept, no line taken for a request.
std::string roff(std::string_view text) {
    std::string out;
    bool line_start = true;
    while (!text.empty()) {
        const char c = text.front();
        size_t bytes = 1;
        if (line_start && (c == '.' || c == '\'')) out += "\\&";
        if (c == '\\')
            out += "\\e";
        else if (c == '-')
            out += "\\-";
        else if (static_cast<unsigned char>(c) >= 0x80)
            out += fmt::format("\\[u{:04X}]", code_point(text, bytes));
        else
            out += c;
        line_start = c == '\n';
        text.remove_prefix(bytes);
    }
    return out;
}

std::string option_term(const OptionFacts& option) {
    const std::string value = roff(option.value);
    if (option.positional) return "\\fI" + value + "\\fR";
    const std::string names = "\\fB" + roff(option.names) + "\\fR";
    return value.empty() ? names : names + " \\fI" + value + "\\fR";
}

std::string options_text(Parser parser, bool common) {
    std::string text;
    for (const OptionFacts& option : parser.options()) {
        if ((option.group == kCommonGroup) != common) continue;
        if (!common && option.names == "-h,--help") continue;  // every verb has it; said once
        text += fmt::format(".TP\n{}\n{}\n", option_term(option), roff(option.text));
    }
    return text;
}

std::string examples_text(std::string_view examples) {
    if (examples.empty()) return "";
    return fmt::format(".PP\n.nf\n{}\n.fi\n", roff(examples));
}

std::string command_text(const Cli::Verb& verb) {
    std::string text =
        fmt::format(".SS knlp {}\n{}.\n", roff(verb.command->name), roff(verb.command->summary));
    text += options_text(verb.parser, false);
    for (const Parser& sub : verb.parser.subcommands()) {
        text += fmt::format(".TP\n\\fBknlp {} {}\\fR\n{}\n", roff(verb.command->name),
                            roff(sub.name()), roff(sub.summary()));
        const std::string options = options_text(sub, false);
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
and one native binary runs it. What comes out is a run directory that can be checked, resumed,
compared and shown. The binary never uses the network.
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
.B KNLP_CPU_LIMIT
Take the processor for one that has scalar, avx2 or avx512 at best.
.TP
.B NO_COLOR
When set, no colours.
)";

std::string page(Cli& cli) {
    std::string text =
        fmt::format(".TH KNLP 1 \"\" \"knlp {}\" \"knlp\"\n", config::build_info().version);
    text += ".SH NAME\nknlp \\- train, evaluate and study language models from a Kconfig\n";
    text +=
        ".SH SYNOPSIS\n.B knlp\n.I command\n.RI [ options ]\n.br\n.B knlp \\-\\-version\n.RB [ "
        "\\-\\-json ]\n";
    text += fmt::format(".SH DESCRIPTION\n{}.SH COMMANDS\n", kDescription);
    for (const Cli::Verb& verb : cli.verbs) text += command_text(verb);
    text += ".SH OPTIONS OF ALL COMMANDS\n" + options_text(cli.verbs.front().parser, true);
    text += fmt::format(".SH ENVIRONMENT\n{}.SH EXIT STATUS\n", kEnvironment);
    for (const ExitStatus& row : exit_statuses())
        text += fmt::format(".TP\n.B {}\n{}\n", row.status, roff(row.meaning));
    text += ".SH FILES\n.TP\n.I .config\nConfiguration in the current directory.\n";
    text +=
        ".TP\n.I results/runs/\nRun directories; each keeps its configuration in\n.IR config .\n";
    return text;
}

int run(const Common&) {
    Cli cli;
    build_cli(cli);
    const std::string text = page(cli);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
}

std::function<int(const Common&)> add_options(Parser) {
    return run;
}

}  // namespace

extern const Command cmd_man;
const Command cmd_man = {.name = "man",
                         .summary = "print the manual page (roff)",
                         .needs = "",
                         .add_options = add_options,
                         .examples = "knlp man | man -l -",
                         .prints_result = true,
                         .obeys = ""};

}  // namespace knlp::app
