#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::config {

/// Where a value came from, lowest precedence first.
enum class Origin {
    kDefault,
    kDotConfig,
    kEnvironment,
    kMake,
    kCommandLine,
    kFlag,
    kMatrix,
    kAuto
};
std::string_view name_of(Origin origin);  // default dotconfig env make cli flag matrix auto

struct RealRange {
    double min = -1e300, max = 1e300;      // closed
    double above = -1e301, below = 1e301;  // open
};

/// The configuration of one run: every symbol of the schema with its value and origin, checked:
/// types, ranges, dependencies, choices, semantic types. Values are as in .config without the
/// quotes: "y", "n", "12", "6e-4".
class Symbols {
public:
    /// One override, and where it was said.
    struct Override {
        std::string name, value;
        Origin origin = Origin::kCommandLine;
    };

    /// Reads a complete .config (or a run directory's `config`) strictly, then applies overrides,
    /// then checks all. Symbols at their default follow an override that changes the default. An
    /// override of a plan (Origin::kMatrix) may set a build symbol, to what this binary has; one
    /// that has no effect here is left out, and its symbol has another origin then. Throws
    /// Error{kConfig} with file:line, symbol, nearest names and the fix; codes E_UNKNOWN_SYMBOL,
    /// E_RANGE, E_TYPE, E_DEPENDS, E_CHOICE, E_SYNTAX, E_NOT_SETTABLE, E_BUILD_MISMATCH; or
    /// Error{kNotAvailable, "E_NOT_BUILT"} when a feature is wanted that is not in this binary.
    static Symbols load(const std::filesystem::path& path, const std::vector<Override>& overrides);

    /// As load(), without asking whether this binary was built for it: for showing and comparing.
    static Symbols load_for_any_build(const std::filesystem::path& path,
                                      const std::vector<Override>& overrides = {});

    /// The same from values only (tests; the schema's defaults where a name is absent).
    static Symbols from_values(const std::map<std::string, std::string>& values,
                               const std::vector<Override>& overrides = {});

    /// This configuration with overrides, checked as load() checks but for the binary. What a rule
    /// that spans symbols refuses goes to `broken_rule`, where one is given, and is not thrown.
    Symbols with(const std::vector<Override>& overrides, std::string* broken_rule = nullptr) const;

    /// A bool; false when its dependencies are off. The other getters need a symbol that has a
    /// value: asking for one that is unknown, of another type or switched off is our mistake
    /// (std::logic_error).
    bool on(std::string_view name) const;
    bool has(std::string_view name) const;  // is active: has a value here
    std::string text(std::string_view name) const;
    int64_t integer(std::string_view name) const;
    /// Error{kConfig, "E_RANGE"} with symbol, value and range when outside.
    double real(std::string_view name, RealRange range = {}) const;
    std::vector<int64_t> integers(std::string_view name) const;   // "1,32,128"
    std::vector<std::string> words(std::string_view name) const;  // "a,b,c"
    Origin origin(std::string_view name) const;

    /// Value the program chose itself (micro-batch, GEMM route, threads): shown with origin "auto"
    /// by resolved_json(). What was configured stays as it is in the getters, dot_config(), hash()
    /// and differences(), so a choice of this machine never looks like a changed experiment.
    void record_auto(std::string_view name, std::string value);

    /// `.config` text of all symbols in menu order; what a run directory keeps.
    std::string dot_config() const;
    /// Only what differs from the defaults, as `make savedefconfig` writes it.
    std::string defconfig() const;
    /// {"SYM":{"value":…,"type":…,"origin":…}}, canonical.
    std::string resolved_json() const;
    /// SHA-256 over "NAME=value\n" of all symbols, sorted, without resume-free ones.
    std::string hash() const;
    /// As hash(), and budgets count: runs of one experiment hash, one binary and the same data have
    /// the same result. SEED counts as `seed`; without one it is left out, for what runs of several
    /// seeds share.
    std::string experiment_hash(std::optional<uint64_t> seed) const;
    /// Names whose values differ, resume-free ones left out: what a resume refuses.
    std::vector<std::string> differences(const Symbols& other) const;

    const std::map<std::string, std::string, std::less<>>& values() const { return values_; }

private:
    static Symbols read(const std::filesystem::path& path, const std::vector<Override>& overrides,
                        bool check_build);

    std::map<std::string, std::string, std::less<>> values_;
    std::map<std::string, Origin, std::less<>> origins_;
    std::map<std::string, std::string, std::less<>> autos_;
};

/// $KCONFIG_CONFIG when set, else ".config" when that file exists, else "".
std::string default_config_path();

/// Where a symbol is set: name to ".config:12".
using Lines = std::map<std::string, std::string, std::less<>>;

/// Rules that span symbols (n_embd divisible by n_head, min_lr <= lr, some budget is set, …).
/// load() and from_values() call it. Throws Error{kConfig} naming the line, symbols, values and
/// what is allowed.
void check_rules(const Symbols& symbols, const Lines& lines = {});

/// Overrides in order of precedence from the environment (KNLP_SET="A=1 B=x"), from make
/// (KNLP_MAKE_SET) and from `--set` texts. Error{kUsage} for a text without '='.
std::vector<Symbols::Override> collect_overrides(const std::vector<std::string>& set_flags);

}  // namespace knlp::config
