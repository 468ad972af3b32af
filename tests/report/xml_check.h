#pragma once

#include <cctype>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::test {

/// What keeps `text` from being well-formed XML (elements nest, attributes are quoted and not
/// repeated, entities are known, no stray < or &), with its place; "" when it is. <!DOCTYPE …> is
/// skipped.
class XmlCheck {
public:
    explicit XmlCheck(std::string_view text) : text_(text) {}

    std::string problem() {
        while (at_ < text_.size() && problem_.empty()) {
            if (text_[at_] == '<')
                tag();
            else
                character("");
        }
        if (problem_.empty() && !open_.empty()) say("<" + open_.back() + "> is never closed");
        return problem_;
    }

private:
    void say(const std::string& what) {
        if (problem_.empty()) problem_ = what + " near: " + std::string(text_.substr(at_, 60));
    }

    void character(std::string_view forbidden) {
        if (forbidden.find(text_[at_]) != std::string_view::npos) return say("stray character");
        if (text_[at_] == '&') {
            const size_t end = text_.find(';', at_);
            const std::string_view name =
                text_.substr(at_ + 1, end == std::string_view::npos ? 0 : end - at_ - 1);
            static const std::set<std::string_view> known = {"amp", "lt", "gt", "quot", "#39"};
            if (known.count(name) == 0) return say("unknown entity");
        }
        ++at_;
    }

    std::string name() {
        const size_t begin = at_;
        while (at_ < text_.size() &&
               (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '-'))
            ++at_;
        return std::string(text_.substr(begin, at_ - begin));
    }

    void blanks() {
        while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
    }

    void tag() {
        if (text_.substr(at_, 2) == "<!") {
            at_ = text_.find('>', at_) + 1;
            return;
        }
        ++at_;
        const bool closing = at_ < text_.size() && text_[at_] == '/';
        if (closing) ++at_;
        const std::string element = name();
        if (element.empty()) return say("< without a name");
        if (closing) {
            if (open_.empty() || open_.back() != element)
                return say("</" + element + "> does not match");
            open_.pop_back();
        } else {
            attributes();
            if (at_ < text_.size() && text_[at_] == '/')
                ++at_;
            else
                open_.push_back(element);
        }
        if (at_ >= text_.size() || text_[at_] != '>')
            return say("tag " + element + " does not end");
        ++at_;
    }

    void attributes() {
        std::set<std::string> seen;
        for (blanks();
             problem_.empty() && at_ < text_.size() && text_[at_] != '>' && text_[at_] != '/';
             blanks()) {
            const std::string attribute = name();
            if (attribute.empty() || !seen.insert(attribute).second) return say("bad attribute");
            if (text_.substr(at_, 2) != "=\"") return say("attribute without quotes");
            for (at_ += 2; at_ < text_.size() && text_[at_] != '"' && problem_.empty();)
                character("<");
            ++at_;
        }
    }

    std::string_view text_;
    size_t at_ = 0;
    std::vector<std::string> open_;
    std::string problem_;
};

inline std::string xml_problem(std::string_view text) {
    return XmlCheck(text).problem();
}

}  // namespace knlp::test
