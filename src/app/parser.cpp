#include "src/app/parser.h"

#include <CLI/CLI.hpp>

#include <algorithm>

namespace knlp::app {
namespace {

/// "FILE" without the list of allowed words that follows it.
std::string value_name(const CLI::Option& option) {
    if (option.get_items_expected_max() == 0) return "";
    std::string type = option.get_type_name();
    type.erase(std::min(type.find_first_of(": "), type.size()));
    if (type == "INT" || type == "UINT") return "N";
    if (type == "FLOAT") return "X";
    return type.empty() ? "TEXT" : type;
}

OptionFacts facts_of(const CLI::Option& option) {
    OptionFacts facts = {.names = option.get_name(false, true),
                         .long_names = {},
                         .value = value_name(option),
                         .text = option.get_description(),
                         .group = option.get_group(),
                         .positional = option.get_positional(),
                         .required = option.get_required(),
                         .value_optional = option.get_expected_min() == 0,
                         .repeated = option.get_expected_max() > 1};
    for (const std::string& name : option.get_lnames()) facts.long_names.push_back("--" + name);
    return facts;
}

}  // namespace

Option Option::type_name(const std::string& name) {
    return Option(option_->type_name(name));
}
Option Option::group(const std::string& title) {
    return Option(option_->group(title));
}
Option Option::required() {
    return Option(option_->required());
}
Option Option::excludes(Option other) {
    return Option(option_->excludes(other.option_));
}
Option Option::one_of(std::initializer_list<const char*> words) {
    return Option(
        option_->check(CLI::IsMember(std::vector<std::string>(words.begin(), words.end()))));
}
Option Option::in_range(int least, int most) {
    return Option(option_->check(CLI::Range(least, most)));
}
Option Option::in_range(double least, double most) {
    return Option(option_->check(CLI::Range(least, most)));
}
Option Option::positive() {
    return Option(option_->check(CLI::PositiveNumber));
}
Option Option::not_negative() {
    return Option(option_->check(CLI::NonNegativeNumber));
}
Option Option::values(int least, int most) {
    return Option(option_->expected(least, most));
}
Option Option::one_at_a_time() {
    return Option(option_->allow_extra_args(false));
}
bool Option::given() const {
    return option_->count() > 0;
}

template <typename T>
Option Parser::add_option(const char* names, T& value, const std::string& text) {
    return Option(app_->add_option(names, value, text));
}
template Option Parser::add_option(const char*, std::string&, const std::string&);
template Option Parser::add_option(const char*, int64_t&, const std::string&);
template Option Parser::add_option(const char*, uint64_t&, const std::string&);
template Option Parser::add_option(const char*, double&, const std::string&);
template Option Parser::add_option(const char*, std::vector<std::string>&, const std::string&);
template Option Parser::add_option(const char*, std::vector<int64_t>&, const std::string&);

Option Parser::add_flag(const char* names, bool& value, const std::string& text) {
    return Option(app_->add_flag(names, value, text));
}
Option Parser::add_help() {
    return Option(app_->set_help_flag("-h,--help", "print this help and exit"));
}
Parser Parser::add_subcommand(std::string_view name, std::string_view summary) {
    CLI::App* sub = app_->add_subcommand(std::string(name), std::string(summary));
    const bool below_verb = app_->get_parent() != nullptr;
    return Parser(sub->fallthrough(below_verb));
}
void Parser::require_subcommand() {
    app_->require_subcommand(1);
}
void Parser::set_footer(const std::string& text) {
    app_->footer(text);
}

std::string Parser::name() const {
    return app_->get_name();
}
std::string Parser::summary() const {
    return app_->get_description();
}
std::string Parser::footer() const {
    return app_->get_footer();
}
bool Parser::requires_subcommand() const {
    return app_->get_require_subcommand_min() > 0;
}
bool Parser::has_option(const char* name) const {
    return app_->get_option_no_throw(name) != nullptr;
}
std::vector<OptionFacts> Parser::options() const {
    std::vector<OptionFacts> all;
    for (const CLI::Option* option : app_->get_options()) all.push_back(facts_of(*option));
    return all;
}
std::vector<Parser> Parser::subcommands() const {
    std::vector<Parser> all;
    for (CLI::App* sub : app_->get_subcommands({})) all.emplace_back(sub);
    return all;
}
Parser Parser::parent() const {
    return Parser(app_->get_parent());
}
bool Parser::parsed() const {
    return app_->parsed();
}
Parser Parser::parsed_subcommand() const {
    const std::vector<CLI::App*> given = app_->get_subcommands();
    return given.empty() ? Parser() : Parser(given.back());
}

ParserTree::ParserTree(const std::string& name, const std::string& summary)
    : app_(std::make_unique<CLI::App>(summary, name)) {
    app_->require_subcommand(0, 1);
    app_->allow_extras();  // of those below as well, which begin with its settings
    root().add_help();
}

ParserTree::~ParserTree() = default;

ParserTree::Outcome ParserTree::parse(int argc, const char* const* argv) {
    try {
        app_->parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        return {.help_wanted = true};
    } catch (const CLI::ParseError& error) {
        return {.mistake = error.what()};
    }
    return {};
}

std::vector<std::string> ParserTree::unknown_words() const {
    return app_->remaining(true);
}

}  // namespace knlp::app
