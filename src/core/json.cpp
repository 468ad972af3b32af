#include "knlp/core/json.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"

#include <nlohmann/json.hpp>

#include <charconv>
#include <cmath>
#include <set>
#include <string>
#include <vector>

namespace knlp {

using nlohmann::json;

namespace {

/// Deeper nesting than any file of ours or of the tools we read; keeps recursion over values
/// bounded.
constexpr int kMaxDepth = 200;

/// nlohmann's text is "[json.exception.…] parse error at line …: reason"; the reason is what helps.
std::string reason_of(const json::parse_error& error) {
    const std::string text = error.what();
    const size_t colon = text.find(": ");
    return colon == std::string::npos ? text : text.substr(colon + 2);
}

void append_number(double value, std::string& out) {
    if (std::isnan(value)) {
        out += "\"nan\"";
    } else if (std::isinf(value)) {
        out += value > 0 ? "\"inf\"" : "\"-inf\"";
    } else {
        char text[40];
        const auto [end, error] = std::to_chars(text, text + sizeof text, value);
        KNLP_CHECK(error == std::errc());
        const std::string_view digits(text, static_cast<size_t>(end - text));
        out += digits;
        // A float stays a float when it is read back.
        if (digits.find_first_of(".e") == std::string_view::npos) out += ".0";
    }
}

/// indent < 0: one line without blanks.
void append_value(const json& value, int indent, int depth, std::string& out) {
    const auto new_line = [&](int level) {
        if (indent < 0) return;
        out += '\n';
        out.append(static_cast<size_t>(level * indent), ' ');
    };
    if (value.is_number_float()) {
        append_number(value.get<double>(), out);
    } else if (value.is_object() && !value.empty()) {
        char before = '{';
        for (const auto& [key, item] : value.items()) {
            out += before;
            before = ',';
            new_line(depth + 1);
            out += json(key).dump(-1, ' ', false, json::error_handler_t::replace);
            out += indent < 0 ? ":" : ": ";
            append_value(item, indent, depth + 1, out);
        }
        new_line(depth);
        out += '}';
    } else if (value.is_array() && !value.empty()) {
        // Numbers of one list stay on one line, also in the indented form.
        const bool flat =
            indent >= 0 && std::all_of(value.begin(), value.end(),
                                       [](const json& item) { return item.is_number(); });
        char before = '[';
        for (const json& item : value) {
            out += before;
            if (flat && before == ',') out += ' ';
            before = ',';
            if (!flat) new_line(depth + 1);
            append_value(item, indent, depth + 1, out);
        }
        if (!flat) new_line(depth);
        out += ']';
    } else {
        out += value.dump(-1, ' ', false, json::error_handler_t::replace);
    }
}

}  // namespace

json parse_json(std::string_view text, std::string_view where) {
    std::vector<std::set<std::string>> keys;
    const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
        if (depth > kMaxDepth) fail(kData, "{}: JSON nested deeper than {}", where, kMaxDepth);
        if (event == json::parse_event_t::object_start) keys.emplace_back();
        if (event == json::parse_event_t::object_end) keys.pop_back();
        if (event == json::parse_event_t::key &&
            !keys.back().insert(parsed.get<std::string>()).second)
            fail(kData, "{}: key {} occurs twice in one JSON object", where,
                 parsed.dump(-1, ' ', false, json::error_handler_t::replace));
        return true;
    };
    try {
        return json::parse(text, check);
    } catch (const json::parse_error& error) {
        fail(kData, "{}: not valid JSON at byte {}: {}", where, error.byte, reason_of(error));
    } catch (const json::out_of_range& error) {
        fail(kData, "{}: JSON number out of range: {}", where, error.what());
    }
}

json read_json(const std::filesystem::path& path, int64_t max_bytes) {
    return parse_json(read_file(path, max_bytes), path.string());
}

std::string canonical_json(const json& value) {
    std::string out;
    append_value(value, -1, 0, out);
    return out;
}

std::string pretty_json(const json& value) {
    std::string out;
    append_value(value, 2, 0, out);
    return out + "\n";
}

}  // namespace knlp
