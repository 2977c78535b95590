// Implements the page template by recursive descent over its tags.
#include "viewfold/report/template.hpp"

#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "viewfold/core/error.hpp"
#include "viewfold/report/text.hpp"

namespace viewfold::report {
namespace {

using nlohmann::json;

bool is_left_out(const json* value) {
  // NOLINTNEXTLINE(readability-container-size-empty): a text is never empty() to this library
  return value == nullptr || value->is_null() || *value == false || *value == "" ||
         (value->is_array() && value->empty());
}

class Renderer {
 public:
  Renderer(std::string_view text, const json& context) : text_(text), scopes_{&context} {}

  std::string run() {
    render_block("", true);
    return std::move(out_);
  }

 private:
  // Renders from position_ to behind the tag that closes `section`, or to the end for "".
  void render_block(std::string_view section, bool visible) {
    while (true) {
      const std::size_t open = text_.find("{{", position_);
      if (visible) {
        out_ += text_.substr(position_, open - position_);
      }
      if (open == std::string_view::npos) {
        check(section.empty(), fmt::format("template: section {} is not closed", section));
        return;
      }
      const std::size_t close = text_.find("}}", open);
      check(close != std::string_view::npos, "template: a tag is not closed");
      const std::string_view tag = text_.substr(open + 2, close - open - 2);
      position_ = close + 2;
      if (tag.starts_with('/')) {
        check(tag.substr(1) == section, fmt::format("template: {{{{{}}}}} closes nothing", tag));
        return;
      }
      render_tag(tag, visible);
    }
  }

  void render_tag(std::string_view tag, bool visible) {
    if (tag.starts_with('#') || tag.starts_with('^')) {
      render_section(tag, visible);
    } else if (visible) {
      const bool raw = tag.starts_with('&');
      const std::string value = text_of(raw ? tag.substr(1) : tag);
      out_ += raw ? value : escape_html(value);
    }
  }

  void render_section(std::string_view tag, bool visible) {
    const std::string_view name = tag.substr(1);
    const json* value = visible ? find(name) : nullptr;
    if (tag.starts_with('^') || is_left_out(value)) {
      render_block(name, visible && tag.starts_with('^') && is_left_out(value));
    } else if (!value->is_array()) {
      render_in(*value, name);
    } else {
      const std::size_t start = position_;
      for (const json& element : *value) {
        position_ = start;
        render_in(element, name);
      }
    }
  }

  void render_in(const json& scope, std::string_view section) {
    scopes_.push_back(&scope);
    render_block(section, true);
    scopes_.pop_back();
  }

  const json* find(std::string_view name) const {
    if (name == ".") {
      return scopes_.back();
    }
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (!(*scope)->is_object()) {
        continue;
      }
      const auto found = (*scope)->find(std::string(name));
      if (found != (*scope)->end()) {
        return &*found;
      }
    }
    return nullptr;
  }

  std::string text_of(std::string_view name) const {
    const json* value = find(name);
    check(value != nullptr && (value->is_string() || value->is_number()),
          fmt::format("template: {} is no text or number", name));
    return value->is_string() ? value->get<std::string>() : value->dump();
  }

  std::string_view text_;
  std::size_t position_ = 0;
  std::vector<const json*> scopes_;
  std::string out_;
};

}  // namespace

std::string render_template(std::string_view text, const json& context) {
  return Renderer(text, context).run();
}

}  // namespace viewfold::report
