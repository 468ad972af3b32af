#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace knlp::app {

/// What verbs declare their options with, and what help, completion and manual page read. CLI11
/// does the work; its headers, which take seconds to compile, are in parser.cpp alone.

/// An option of a Parser. A handle: a copy means the same option.
class Option {
public:
    Option() = default;
    explicit Option(CLI::Option* option) : option_(option) {}

    Option type_name(const std::string& name);  // of the value in help: "FILE"
    Option group(const std::string& title);     // in help; "Options" when not called
    Option required();
    Option excludes(Option other);
    Option one_of(std::initializer_list<const char*> words);
    Option in_range(int least, int most);  // both allowed
    Option in_range(double least, double most);
    Option positive();
    Option not_negative();
    /// So many values follow the name.
    Option values(int least, int most);
    /// A vector takes one value each time the option is given, not all that follow.
    Option one_at_a_time();

    /// After parsing.
    bool given() const;

private:
    CLI::Option* option_ = nullptr;
};

/// An option as help shows it.
struct OptionFacts {
    std::string names;                    // "-p,--prompt"; the name of a positional argument
    std::vector<std::string> long_names;  // "--prompt"
    std::string value;                    // "FILE", "N", …; "" for a flag
    std::string text, group;
    bool positional, required, value_optional, repeated;
};

/// The options and subcommands of the program, of a verb or of a subcommand of a verb, which takes
/// its verb's options too. A handle as well; one that stands for none is false.
class Parser {
public:
    Parser() = default;
    explicit Parser(CLI::App* app) : app_(app) {}
    explicit operator bool() const { return app_ != nullptr; }

    /// names: "--text", "-p,--prompt"; without dashes a positional argument. `value` stays as it is
    /// where the option is not given. T: std::string, int64_t, uint64_t, double, or a vector of
    /// std::string or int64_t.
    template <typename T>
    Option add_option(const char* names, T& value, const std::string& text);
    Option add_flag(const char* names, bool& value, const std::string& text);
    /// -h, --help, which every parser has: behind the options declared so far.
    Option add_help();
    Parser add_subcommand(std::string_view name, std::string_view summary);
    void require_subcommand();  // one of them
    void set_footer(const std::string& text);

    std::string name() const;
    std::string summary() const;
    std::string footer() const;
    bool requires_subcommand() const;
    bool has_option(const char* name) const;
    std::vector<OptionFacts> options() const;  // as they were declared
    std::vector<Parser> subcommands() const;
    Parser parent() const;

    /// After parsing: whether this was given, and its subcommand that was.
    bool parsed() const;
    Parser parsed_subcommand() const;

private:
    CLI::App* app_ = nullptr;
};

/// Owns the parser of a whole command line and all below it.
class ParserTree {
public:
    ParserTree(const std::string& name, const std::string& summary);
    ~ParserTree();

    Parser root() const { return Parser(app_.get()); }

    struct Outcome {
        bool help_wanted = false;
        std::string mistake;  // what is wrong, in CLI11's words; "" when nothing is
    };
    Outcome parse(int argc, const char* const* argv);
    /// After parsing: words that are neither option nor value. They are no mistake to parse().
    std::vector<std::string> unknown_words() const;

private:
    std::unique_ptr<CLI::App> app_;
};

}  // namespace knlp::app
