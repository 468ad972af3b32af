#pragma once

#include "src/app/parser.h"

#include "knlp/app/command.h"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace knlp::app {

/// The tree of verbs and options, made from the command table. Help, completion and man page read
/// it.
struct Cli {
    struct Verb {
        const Command* command = nullptr;
        Parser parser;
        std::function<int(const Common&)> run;
    };
    ParserTree tree{"knlp", "machine-learning research built the way the Linux kernel is built"};
    Common common;
    bool version = false, variants = false;
    std::vector<Verb> verbs;
};
void build_cli(Cli& cli);

/// Parses a command line. Returns the verb to run; null when --version or --variants was asked for
/// or help was printed. Throws Error{kUsage} with near names for an unknown verb, subcommand or
/// option.
const Cli::Verb* parse_command_line(Cli& cli, int argc, const char* const* argv);

/// Statuses every verb may end with, as help and man page show them: {status, meaning}.
struct ExitStatus {
    int status;
    const char* meaning;
};
std::span<const ExitStatus> exit_statuses();

/// Group titles in help.
inline constexpr const char* kCommonGroup = "Common options";

}  // namespace knlp::app
