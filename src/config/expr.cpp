#include "src/config/expr.h"

#include "knlp/core/parse.h"

#include <fmt/format.h>

#include <cctype>
#include <memory>
#include <stdexcept>
#include <utility>

namespace knlp::config {
namespace {

enum class Op { kOperand, kNot, kAnd, kOr, kCompare };

/// A node of a parsed expression. Operands keep their text; quoted ones are literals.
struct Node {
    Op op = Op::kOperand;
    std::string text, right_text, relation;  // operand, or both sides of a comparison
    bool quoted = false, right_quoted = false;
    std::unique_ptr<Node> left, right;
};
using NodePtr = std::unique_ptr<Node>;

class Parser {
public:
    explicit Parser(std::string_view text) : text_(text) {}

    NodePtr parse() {
        NodePtr node = parse_or();
        skip_blanks();
        if (at_ != text_.size()) wrong();
        return node;
    }

private:
    [[noreturn]] void wrong() const {
        throw std::logic_error(
            fmt::format("schema expression '{}' is malformed at {}", text_, at_));
    }

    void skip_blanks() {
        while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
    }

    bool take(std::string_view token) {
        skip_blanks();
        if (!text_.substr(at_).starts_with(token)) return false;
        at_ += token.size();
        return true;
    }

    NodePtr join(Op op, NodePtr left, NodePtr right) {
        auto node = std::make_unique<Node>();
        node->op = op;
        node->left = std::move(left);
        node->right = std::move(right);
        return node;
    }

    NodePtr parse_or() {
        NodePtr node = parse_and();
        while (take("||")) node = join(Op::kOr, std::move(node), parse_and());
        return node;
    }

    NodePtr parse_and() {
        NodePtr node = parse_not();
        while (take("&&")) node = join(Op::kAnd, std::move(node), parse_not());
        return node;
    }

    NodePtr parse_not() {
        skip_blanks();
        // "!=" cannot start a factor, so a '!' here is a negation.
        if (take("!")) return join(Op::kNot, parse_not(), nullptr);
        if (take("(")) {
            NodePtr node = parse_or();
            if (!take(")")) wrong();
            return node;
        }
        auto node = std::make_unique<Node>();
        node->text = parse_word(node->quoted);
        for (std::string_view relation : {"!=", "<=", ">=", "=", "<", ">"}) {
            if (!take(relation)) continue;
            node->op = Op::kCompare;
            node->relation = relation;
            node->right_text = parse_word(node->right_quoted);
            break;
        }
        return node;
    }

    std::string parse_word(bool& quoted) {
        skip_blanks();
        quoted = false;
        if (take("<choice")) {
            skip_blanks();
            const size_t end = text_.find('>', at_);
            if (end == std::string_view::npos) wrong();
            std::string name = fmt::format("<choice {}>", text_.substr(at_, end - at_));
            at_ = end + 1;
            return name;
        }
        std::string word;
        if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'')) {
            const char quote = text_[at_++];
            quoted = true;
            while (at_ < text_.size() && text_[at_] != quote) {
                if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
                word += text_[at_++];
            }
            if (at_ == text_.size()) wrong();
            ++at_;
            return word;
        }
        while (at_ < text_.size() && is_word(text_[at_])) word += text_[at_++];
        if (word.empty()) wrong();
        return word;
    }

    static bool is_word(char c) {
        return std::isalnum(static_cast<unsigned char>(c)) ||
               std::string_view("_-./:").find(c) != std::string_view::npos;
    }

    std::string_view text_;
    size_t at_ = 0;
};

NodePtr parse(std::string_view text) {
    return Parser(text).parse();
}

Operand look_up(const std::string& text, bool quoted, const Lookup& lookup) {
    if (quoted || text == "y" || text == "n") return {text, SymbolType::kString, false};
    return lookup(text);
}

/// Compares as the engine does: by number when both texts are integers, else by bytes.
int compare(const Operand& a, const Operand& b) {
    if (a.type != SymbolType::kBool && b.type != SymbolType::kBool) {
        const std::optional<int64_t> x = parse_int(a.value), y = parse_int(b.value);
        if (x && y) return (*x > *y) - (*x < *y);
    }
    const int order = a.value.compare(b.value);
    return (order > 0) - (order < 0);
}

bool holds(int order, std::string_view relation) {
    if (relation == "=") return order == 0;
    if (relation == "!=") return order != 0;
    if (relation == "<") return order < 0;
    if (relation == "<=") return order <= 0;
    if (relation == ">") return order > 0;
    return order >= 0;
}

bool evaluate(const Node& node, const Lookup& lookup) {
    switch (node.op) {
        case Op::kNot:
            return !evaluate(*node.left, lookup);
        case Op::kAnd:
            return evaluate(*node.left, lookup) && evaluate(*node.right, lookup);
        case Op::kOr:
            return evaluate(*node.left, lookup) || evaluate(*node.right, lookup);
        case Op::kCompare:
            return holds(compare(look_up(node.text, node.quoted, lookup),
                                 look_up(node.right_text, node.right_quoted, lookup)),
                         node.relation);
        case Op::kOperand:
            break;
    }
    const Operand operand = look_up(node.text, node.quoted, lookup);
    // An int or a string by itself counts as n, in Kconfig as here.
    return operand.value == "y" && (!operand.symbol || operand.type == SymbolType::kBool);
}

/// Visits the operands and comparisons that make `node` differ from `wanted`.
void visit_failing(const Node& node, bool wanted, const Lookup& lookup,
                   const std::function<void(const Node&, bool wanted)>& visit) {
    if (evaluate(node, lookup) == wanted) return;
    switch (node.op) {
        case Op::kNot:
            visit_failing(*node.left, !wanted, lookup, visit);
            return;
        case Op::kAnd:
        case Op::kOr:
            visit_failing(*node.left, wanted, lookup, visit);
            visit_failing(*node.right, wanted, lookup, visit);
            return;
        case Op::kCompare:
        case Op::kOperand:
            visit(node, wanted);
    }
}

void collect_names(const Node& node, std::vector<std::string>& names) {
    if (node.left) collect_names(*node.left, names);
    if (node.right) collect_names(*node.right, names);
    const auto add = [&](const std::string& text, bool quoted) {
        if (!quoted && !text.empty() && text != "y" && text != "n" && !parse_int(text))
            names.push_back(text);
    };
    add(node.text, node.quoted);
    add(node.right_text, node.right_quoted);
}

}  // namespace

bool evaluate_expression(std::string_view expression, const Lookup& lookup) {
    return expression.empty() || evaluate(*parse(expression), lookup);
}

std::vector<std::string> failing_operands(std::string_view expression, const Lookup& lookup) {
    std::vector<std::string> texts;
    if (expression.empty()) return texts;
    visit_failing(*parse(expression), true, lookup, [&](const Node& node, bool wanted) {
        const std::string value = look_up(node.text, node.quoted, lookup).value;
        if (node.op == Op::kOperand)
            texts.push_back(fmt::format("{} is {}", node.text, value.empty() ? "n" : value));
        else
            texts.push_back(fmt::format("{} is {}, {} {} {}", node.text,
                                        value.empty() ? "\"\"" : value, wanted ? "not" : "that is",
                                        node.relation, node.right_text));
    });
    return texts;
}

std::vector<std::string> settings_that_help(std::string_view expression, const Lookup& lookup) {
    std::vector<std::string> settings;
    if (expression.empty()) return settings;
    visit_failing(*parse(expression), true, lookup, [&](const Node& node, bool wanted) {
        const bool named = !node.quoted && !node.text.starts_with("<choice");
        if (node.op == Op::kOperand && named)
            settings.push_back(fmt::format("{}={}", node.text, wanted ? 'y' : 'n'));
    });
    return settings;
}

std::vector<std::string> symbols_in(std::string_view expression) {
    std::vector<std::string> names;
    if (!expression.empty()) collect_names(*parse(expression), names);
    return names;
}

}  // namespace knlp::config
