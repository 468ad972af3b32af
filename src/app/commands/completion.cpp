#include "src/app/cli.h"

#include "knlp/config/schema.h"
#include "knlp/core/error.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <map>

namespace knlp::app {
namespace {

std::string shell;

/// What may follow a path of words such as "knlp config list": {word, its description}.
using Words = std::vector<std::pair<std::string, std::string>>;

void add_options_of(Parser parser, Words& words) {
    for (const OptionFacts& option : parser.options()) {
        for (const std::string& name : option.long_names) {
            const bool known = std::any_of(words.begin(), words.end(),
                                           [&](const auto& word) { return word.first == name; });
            if (!known) words.emplace_back(name, option.text);
        }
    }
}

void collect(Parser parser, const std::string& path, std::map<std::string, Words>& tree) {
    Words& words = tree[path];
    for (const Parser& sub : parser.subcommands()) {
        words.emplace_back(sub.name(), sub.summary());
        collect(sub, path + " " + sub.name(), tree);
    }
    add_options_of(parser, words);
    // A nested subcommand takes its verb's options as well.
    for (Parser above = parser.parent(); above && above.parent(); above = above.parent())
        add_options_of(above, words);
}

std::vector<std::string> settable_symbols() {
    std::vector<std::string> names;
    for (const config::SymbolInfo& symbol : config::symbols())
        if (!symbol.prompt.empty() && !symbol.build) names.emplace_back(symbol.name);
    return names;
}

std::string bash_script(const std::map<std::string, Words>& tree) {
    std::string text = R"(# Completion of knlp for bash: source <(knlp completion bash)
_knlp() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} path=knlp word
    if [[ $previous == --set || $previous == explain ]]; then
        local suffix=
        [[ $previous == --set ]] && { suffix='='; compopt -o nospace; }
        COMPREPLY=($(compgen -S "$suffix" -W ")";
    text += fmt::format("{}", fmt::join(settable_symbols(), " "));
    text += R"(" -- "$current"))
        return
    fi
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$path $word" in
)";
    std::vector<std::string> paths;
    for (const auto& [path, words] : tree)
        if (path != "knlp") paths.push_back("'" + path + "'");
    text += fmt::format("            {}) path=\"$path $word\" ;;\n", fmt::join(paths, "|"));
    text += "        esac\n    done\n    local words=\n    case $path in\n";
    for (const auto& [path, words] : tree) {
        std::vector<std::string> names;
        for (const auto& [name, description] : words) names.push_back(name);
        text += fmt::format("        '{}') words='{}' ;;\n", path, fmt::join(names, " "));
    }
    return text + R"(    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _knlp knlp ./knlp
)";
}

/// 'text' for zsh's _describe: quotes doubled, the separating colon escaped.
std::string zsh_item(const std::string& name, const std::string& description) {
    std::string text;
    for (const char c : description) {
        if (c == '\'')
            text += "'\\''";
        else
            text += c;
    }
    return fmt::format("'{}:{}'", name, text);
}

std::string zsh_script(const std::map<std::string, Words>& tree) {
    std::string text = fmt::format(R"(#compdef knlp
# Completion of knlp for zsh: knlp completion zsh > a directory of $fpath, as _knlp
_knlp() {{
    local -a items
    local path_=knlp word
    if [[ ${{words[CURRENT-1]}} == --set ]]; then
        compadd -S = -- {0}
        return
    elif [[ ${{words[CURRENT-1]}} == explain ]]; then
        compadd -- {0}
        return
    fi
    for word in ${{words[2,CURRENT-1]}}; do
        case "$path_ $word" in
)",
                                   fmt::join(settable_symbols(), " "));
    std::vector<std::string> paths;
    for (const auto& [path, words] : tree)
        if (path != "knlp") paths.push_back("'" + path + "'");
    text += fmt::format("            {}) path_=\"$path_ $word\" ;;\n", fmt::join(paths, "|"));
    text += "        esac\n    done\n    case $path_ in\n";
    for (const auto& [path, words] : tree) {
        std::vector<std::string> items;
        for (const auto& [name, description] : words) items.push_back(zsh_item(name, description));
        text += fmt::format("        '{}') items=({}) ;;\n", path, fmt::join(items, " "));
    }
    return text + R"(    esac
    _describe knlp items || _files
}
if [[ $funcstack[1] == _knlp ]]; then _knlp "$@"; else compdef _knlp knlp; fi
)";
}

int run(const Common&) {
    Cli cli;
    const std::string wanted = shell;  // building the tree again clears the options
    build_cli(cli);
    std::map<std::string, Words> tree;
    collect(cli.tree.root(), "knlp", tree);
    const std::string text = wanted == "bash" ? bash_script(tree) : zsh_script(tree);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
}

std::function<int(const Common&)> add_options(Parser parser) {
    shell.clear();
    parser.add_option("shell", shell, "bash or zsh")
        .required()
        .one_of({"bash", "zsh"})
        .type_name("SHELL");
    return run;
}

}  // namespace

extern const Command cmd_completion;
const Command cmd_completion = {
    .name = "completion",
    .summary = "print a script that completes knlp's words in a shell",
    .needs = "",
    .add_options = add_options,
    .examples = "source <(knlp completion bash)\nknlp completion zsh > ~/.zfunc/_knlp",
    .prints_result = true,
    .obeys = ""};

}  // namespace knlp::app
