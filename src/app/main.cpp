#include "src/app/cli.h"
#include "src/app/version.h"

#include "knlp/config/build_info.h"
#include "knlp/config/environment.h"
#include "knlp/config/overrides.h"
#include "knlp/core/error.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/core/signals.h"
#include "knlp/core/text.h"
#include "knlp/core/wait_policy.h"

#include <nlohmann/json.hpp>

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <system_error>
#include <vector>

namespace knlp::app {
namespace {

constexpr int kInternalError = 70;

/// Wrong command lines are answered in JSON as well, so this cannot wait for the parser.
bool wants_json(int argc, char** argv) {
    for (int i = 1; i < argc && std::strcmp(argv[i], "--") != 0; ++i)
        if (std::strcmp(argv[i], "--json") == 0) return true;
    return false;
}

int report(bool json, std::string_view code, std::string text, int status) {
    log::close_run_log();
    for (char& c : text)
        if (c == '\n') c = ' ';
    if (json) {
        const nlohmann::json error = {
            {"error", {{"code", code}, {"message", text}, {"status", status}}}};
        text = canonical_json(error);
    } else {
        const bool color = log::use_color(2);
        text = fmt::format("knlp: {}error[{}]{}: {}", color ? "\033[1;31m" : "", code,
                           color ? "\033[0m" : "", text);
    }
    std::fflush(stdout);
    std::fprintf(stderr, "%s\n", text.c_str());
    return status;
}

/// LibTorch's errors carry a backtrace after their first line.
std::string first_line(const char* text) {
    const std::string whole(text);
    return whole.substr(0, whole.find('\n'));
}

int report_foreign(bool json, const std::exception& error) {
    const std::string text = first_line(error.what());
    const bool memory = dynamic_cast<const std::bad_alloc*>(&error) ||
                        text.find("allocate memory") != std::string::npos ||
                        text.find("out of memory") != std::string::npos;
    if (memory)
        return report(
            json, "E_MEMORY",
            "out of memory (" + text + "); take a smaller BATCH_SIZE, GPT2_BLOCK_SIZE or model",
            exit_status(kRun));
    if (dynamic_cast<const std::system_error*>(&error))
        return report(json, "E_IO", text, exit_status(kRun));
    if (text.find("CUDA error") != std::string::npos)
        return report(json, "E_RUN", text, exit_status(kRun));
    return report(json, "E_INTERNAL",
                  text + "; this is a mistake in knlp, please report it with the command line",
                  kInternalError);
}

void require_built(const Command& command) {
    if (command.needs.empty() || config::built(command.needs) == "y") return;
    fail_code(kNotAvailable, "E_NOT_BUILT",
              "knlp {} is not in this binary; set CONFIG_{} with make menuconfig, then "
              "run make",
              command.name, command.needs);
}

bool obeys(const Command& command, std::string_view symbol) {
    if (command.obeys == "*") return true;
    const std::vector<std::string> symbols = split(command.obeys, ' ');
    return std::find(symbols.begin(), symbols.end(), symbol) != symbols.end();
}

/// No override is passed over in silence, whether or not the verb reads a configuration.
void check_overrides(const Command& command, const Common& common) {
    if (!common.seed.empty() && !obeys(command, "SEED"))
        fail(kUsage, "--seed: knlp {} draws no random numbers; leave it out", command.name);
    for (const std::string& symbol : config::check_overrides(common.set)) {
        if (obeys(command, symbol)) continue;
        std::string known = command.obeys.empty() ? "" : " but " + std::string(command.obeys);
        for (size_t at = 5; (at = known.find(' ', at)) != std::string::npos; at += 5)
            known.replace(at, 1, " and ");
        fail(kUsage, "--set {}: knlp {} goes by no symbol{}; leave it out", symbol, command.name,
             known);
    }
}

int run(int argc, char** argv) {
    Cli cli;
    build_cli(cli);
    const Cli::Verb* verb = parse_command_line(cli, argc, argv);
    if (!verb) {
        if (!cli.version && !cli.variants) return 0;
        const std::string text = cli.variants      ? variants_text(cli.common.json)
                                 : cli.common.json ? version_json()
                                                   : version_text();
        std::fwrite(text.data(), 1, text.size(), stdout);
        return 0;
    }
    require_built(*verb->command);
    check_overrides(*verb->command, cli.common);
    if (verb->command->runs_for_long) wait_briefly(argv);
    if (verb->command->handles_stop) install_stop_handlers();
    if (cli.common.quiet) log::set_level(log::Level::kWarning);
    config::check_environment();
    return verb->command->prints_result ? run_printing(cli.common, verb->run)
                                        : verb->run(cli.common);
}

/// The errno of a write that failed earlier is gone; poll still tells a pipe whose other end is
/// closed.
bool reader_has_left() {
    pollfd output = {STDOUT_FILENO, POLLOUT, 0};
    return ::poll(&output, 1, 0) > 0 && (output.revents & POLLERR) != 0;
}

/// A reader that has left is no error; a full disk under a redirected stdout is.
int flush_stdout(bool json, int status) {
    errno = 0;
    if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return status;
    if (errno == EPIPE || status != 0 || reader_has_left()) return status;
    return report(json, "E_IO", fmt::format("standard output: {}", std::strerror(errno)),
                  exit_status(kRun));
}

}  // namespace
}  // namespace knlp::app

int main(int argc, char** argv) {
    using namespace knlp;
    const bool json = app::wants_json(argc, argv);
    try {
        return app::flush_stdout(json, app::run(argc, argv));
    } catch (const Error& error) {
        return app::report(json, error.code(), error.what(), exit_status(error.kind()));
    } catch (const Stopped& stopped) {
        log::close_run_log();
        return stop_exit_status(stopped.signal);
    } catch (const std::exception& error) {
        return app::report_foreign(json, error);
    }
}
