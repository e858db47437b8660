#include "common/spec/spec_words.h"

#include <cstdint>
#include <optional>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "common/spec/spec.h"
#include "common/spec/wording.h"

namespace mentor::spec {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::io::Tokenizer;
using CppType = FieldDescriptor::CppType;

constexpr size_t kEditsMax = 1000;
constexpr size_t kComplaintsMax = 100;

// Moves forward through a text and counts places as the tokenizer does.
class TextCursor {
 public:
  explicit TextCursor(std::string_view text) : text_(text) {}

  size_t OffsetOf(TextPlace place) {
    while (offset_ < text_.size() && place_ < place) Step();
    return offset_;
  }
  TextPlace PlaceOf(size_t offset) {
    while (offset_ < text_.size() && offset_ < offset) Step();
    return place_;
  }

 private:
  void Step() {
    constexpr int kTab = 8;
    const char letter = text_[offset_++];
    if (letter == '\n') {
      ++place_.line;
      place_.column = 0;
    } else {
      place_.column += letter == '\t' ? kTab - place_.column % kTab : 1;
    }
  }

  const std::string_view text_;
  size_t offset_ = 0;
  TextPlace place_;
};

class LetParserSay : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int, int, const std::string&) override { seen = true; }
  bool seen = false;
};

// The tokens of a text, as the parser of text format sees them.
class Tokens {
 public:
  explicit Tokens(std::string_view text)
      : stream_(text.data(), static_cast<int>(text.size())), tokenizer_(&stream_, &errors_) {
    tokenizer_.set_allow_f_after_float(true);
    tokenizer_.set_comment_style(Tokenizer::SH_COMMENT_STYLE);
    tokenizer_.set_require_space_after_number(false);
    tokenizer_.set_allow_multiline_strings(true);
    Next();
  }

  const Tokenizer::Token& current() const { return token_; }
  void Next() {
    tokenizer_.Next();
    token_ = tokenizer_.current();
  }
  bool Is(std::string_view symbol) const {
    return current().type == Tokenizer::TYPE_SYMBOL && current().text == symbol;
  }
  bool Is(Tokenizer::TokenType type) const { return current().type == type; }
  bool OpensGroup() const { return Is("{") || Is("<"); }
  TextPlace place() const { return {current().line, current().column}; }
  bool broken() const { return errors_.seen; }

 private:
  LetParserSay errors_;
  google::protobuf::io::ArrayInputStream stream_;
  Tokenizer tokenizer_;
  Tokenizer::Token token_;
};

// Returns true if more groups begin than end.
bool LacksAnEnd(std::string_view text) {
  int open = 0;
  for (Tokens tokens(text); !tokens.Is(Tokenizer::TYPE_END); tokens.Next()) {
    if (tokens.OpensGroup()) ++open;
    if (tokens.Is("}") || tokens.Is(">")) --open;
  }
  return open > 0;
}

// Member functions return false if the walk cannot continue.
class Walker {
 public:
  // short_options: an unknown field may be an option.
  Walker(std::string_view text, const Descriptor& type, bool short_options)
      : text_(text), type_(type), tokens_(text), cursor_(text), short_options_(short_options) {}

  bool too_many() const { return too_many_; }

  Words Walk() {
    if (tokens_.Is("{")) {
      Stop(absl::StrCat("is JSON; ", kForm));
    } else {
      Fields({.type = &type_}, "");
    }
    return std::move(words_);
  }

 private:
  static constexpr char kForm[] =
      "write fields as name: value and groups as name { ... }, in protobuf's text format";

  // A group that is being read.
  struct Group {
    const Descriptor* type = nullptr;  // Null: the group is unknown.
    std::string name = {};
    TextPlace begin = {};
    std::string_view end = {};  // Empty: the whole text.
    const Group* around = nullptr;
    int depth = 0;
  };

  bool Complain(TextPlace place, std::string message, bool is_last) {
    if (words_.complaints.size() < kComplaintsMax)
      words_.complaints.push_back({place, std::move(message), is_last});
    return !is_last;
  }
  bool Stop(std::string message) { return Complain(tokens_.place(), std::move(message), true); }

  bool Fields(const Group& group, const std::string& path) {
    if (group.depth > kSpecDepthMax) return false;
    while (true) {
      if (tokens_.broken()) return false;
      if (tokens_.Is(Tokenizer::TYPE_END)) {
        if (group.end.empty()) return true;
        return Complain(
            group.begin,
            absl::StrFormat("the group %s begins here and does not end; add a %s after its fields",
                            Quote(group.name), group.end),
            /*is_last=*/true);
      }
      if (!group.end.empty() && tokens_.Is(group.end)) {
        tokens_.Next();
        return true;
      }
      if (tokens_.Is("}") && group.end.empty())
        return Stop("this } ends no group; remove it, or write the { that it belongs to");
      if (tokens_.Is(Tokenizer::TYPE_STRING)) {
        return Stop(absl::StrCat("the name of a field has no quotes, but here is ",
                                 Printable(tokens_.current().text, 60), "; ", kForm));
      }
      if (tokens_.Is("/")) return Stop("a comment begins with #, not with a slash; write # ...");
      if (tokens_.Is("-")) {
        return Stop(
            absl::StrCat("no field begins with '-', as in YAML; a list has its name once "
                         "for each entry; ",
                         kForm));
      }
      if (!tokens_.Is(Tokenizer::TYPE_IDENTIFIER) || !Field(group, path)) return false;
      if (tokens_.Is(",") || tokens_.Is(";")) tokens_.Next();
    }
  }

  bool Field(const Group& group, const std::string& path) {
    const std::string name = tokens_.current().text;
    const TextPlace begin = tokens_.place();
    const size_t offset = cursor_.OffsetOf(begin);
    tokens_.Next();
    if (tokens_.Is("=")) {
      return Stop(
          absl::StrFormat("after %s comes a colon, no '='; write %s: ...", Quote(name), name));
    }
    const bool colon = tokens_.Is(":");
    const size_t after_name = cursor_.OffsetOf(tokens_.place());
    if (colon) tokens_.Next();
    const FieldDescriptor* field = group.type ? group.type->FindFieldByName(name) : nullptr;
    if (field == nullptr) return UnknownField(group, name, begin, offset, colon, after_name);
    const std::string here = Join(path, name);
    if (field->cpp_type() == CppType::CPPTYPE_MESSAGE) {
      return OneOrList([&] { return GroupOf(*field, group, here, begin, colon); });
    }
    if (!colon) {
      return Stop(
          tokens_.OpensGroup()
              ? absl::StrFormat("%s is no group of fields; write %s: and its value", here, name)
              : absl::StrFormat("%s has no value; write %s: and its value", here, name));
    }
    if (!field->is_repeated()) return Scalar(*field, here);
    return OneOrList([&] { return Scalar(*field, here); });
  }

  template <typename Read>
  bool OneOrList(const Read& read) {
    if (!tokens_.Is("[")) return read();
    tokens_.Next();
    while (!tokens_.Is("]")) {
      if (!read()) return false;
      if (tokens_.Is(",")) {
        tokens_.Next();
      } else if (!tokens_.Is("]")) {
        return false;
      }
    }
    tokens_.Next();
    return true;
  }

  bool GroupOf(const FieldDescriptor& field, const Group& around, const std::string& path,
               TextPlace begin, bool colon) {
    if (!tokens_.OpensGroup()) {
      return Complain(begin,
                      absl::StrFormat("%s is a group of fields; write %s { ... }%s", path,
                                      field.name(), colon ? ", not as in YAML" : ""),
                      /*is_last=*/true);
    }
    const std::string_view end = tokens_.Is("{") ? "}" : ">";
    tokens_.Next();
    return Fields({.type = field.message_type(),
                   .name = field.name(),
                   .begin = begin,
                   .end = end,
                   .around = &around,
                   .depth = around.depth + 1},
                  path);
  }

  // `offset` is the beginning of the name; `after_name` is the position of its colon, if any.
  bool UnknownField(const Group& group, const std::string& name, TextPlace begin, size_t offset,
                    bool colon, size_t after_name) {
    for (const Group* around = group.around; around != nullptr; around = around->around) {
      if (around->type == nullptr || around->type->FindFieldByName(name) == nullptr) continue;
      if (!lacks_an_end_) lacks_an_end_ = LacksAnEnd(text_);
      if (*lacks_an_end_) {
        return Complain(
            begin,
            absl::StrFormat("%s stands within the group %s of line %d, which does not end before "
                            "it; add a %s",
                            Quote(name), Quote(group.name), group.begin.line + 1, group.end),
            /*is_last=*/true);
      }
      return Skip(group, name, begin);
    }
    const bool has_options =
        short_options_ && group.type != nullptr && OptionList(*group.type) != nullptr;
    const bool is_value = !tokens_.OpensGroup() && !tokens_.Is("[");
    if (!has_options || !colon || !is_value || FieldHint(*group.type, name).ends_with('?'))
      return Skip(group, name, begin);
    if (words_.edits.size() + 3 > kEditsMax) {
      too_many_ = true;
      return Skip(group, name, begin);
    }
    words_.edits.push_back({offset, name.size(), absl::StrFormat("option { name: \"%s\"", name)});
    words_.edits.push_back({after_name, 1, " value:"});
    const std::optional<Given> given = Value();
    if (!given) return Stop(absl::StrFormat("%s has no value", Quote(name)));
    words_.edits.push_back(given->quoted ? Words::Edit{given->offset + given->text.size(), 0, " }"}
                                         : Words::Edit{given->offset, given->text.size(),
                                                       absl::StrFormat("\"%s\" }", given->text)});
    return true;
  }

  // Skips a field that the parser will report.
  bool Skip(const Group& group, const std::string& name, TextPlace begin) {
    return OneOrList([&] {
      if (!tokens_.OpensGroup()) return Value().has_value();
      const std::string_view end = tokens_.Is("{") ? "}" : ">";
      tokens_.Next();
      return Fields(
          {.name = name, .begin = begin, .end = end, .around = &group, .depth = group.depth + 1},
          "");
    });
  }

  // A value as written.
  struct Given {
    TextPlace place;
    size_t offset = 0;
    std::string_view text = {};  // As written, with the sign.
    Tokenizer::TokenType type = Tokenizer::TYPE_START;
    bool negative = false;
    bool quoted = false;
  };

  // Returns nullopt if there is no value.
  std::optional<Given> Value() {
    Given given = {.place = tokens_.place(), .offset = cursor_.OffsetOf(tokens_.place())};
    given.negative = tokens_.Is("-");
    if (given.negative) tokens_.Next();
    given.type = tokens_.current().type;
    given.quoted = tokens_.Is(Tokenizer::TYPE_STRING);
    if (!given.quoted && !tokens_.Is(Tokenizer::TYPE_IDENTIFIER) &&
        !tokens_.Is(Tokenizer::TYPE_INTEGER) && !tokens_.Is(Tokenizer::TYPE_FLOAT)) {
      return std::nullopt;
    }
    size_t end = 0;
    do {
      end = cursor_.OffsetOf(tokens_.place()) + tokens_.current().text.size();
      tokens_.Next();
    } while (given.quoted && tokens_.Is(Tokenizer::TYPE_STRING));  // Adjacent strings are one.
    given.text = text_.substr(given.offset, end - given.offset);
    return given;
  }

  bool Scalar(const FieldDescriptor& field, const std::string& path) {
    const std::optional<Given> given = Value();
    if (!given) return Stop(absl::StrFormat("%s has no value; give %s", path, ExpectedText(field)));
    if (&field == v1::Option::descriptor()->FindFieldByName("value") && !given->quoted) {
      if (words_.edits.size() < kEditsMax) {
        words_.edits.push_back(
            {given->offset, given->text.size(), absl::StrFormat("\"%s\"", given->text)});
      }
      return true;
    }
    if (tokens_.broken()) return false;
    if (Fits(field, *given)) return true;
    const std::string text(given->text);
    return Complain(given->place,
                    absl::StrCat(path, " is ", Printable(text, 60), "; give ",
                                 ExpectedText(field, text), DefaultText(field)),
                    /*is_last=*/false);
  }

  // True if the parser accepts the value, or if in doubt.
  static bool Fits(const FieldDescriptor& field, const Given& given) {
    const bool is_name = given.type == Tokenizer::TYPE_IDENTIFIER;
    const auto is_integer = [&](uint64_t max) {
      uint64_t ignored;
      return given.type == Tokenizer::TYPE_INTEGER && !given.negative &&
             Tokenizer::ParseInteger(std::string(given.text), max, &ignored);
    };
    switch (field.cpp_type()) {
      case CppType::CPPTYPE_STRING:
        return given.quoted;
      case CppType::CPPTYPE_UINT32:
        return is_integer(UINT32_MAX);
      case CppType::CPPTYPE_UINT64:
        return is_integer(UINT64_MAX);
      case CppType::CPPTYPE_DOUBLE:
      case CppType::CPPTYPE_FLOAT: {
        const std::string name =
            absl::AsciiStrToLower(std::string(given.text.substr(given.negative)));
        return !given.quoted && (!is_name || name == "inf" || name == "infinity" || name == "nan");
      }
      case CppType::CPPTYPE_BOOL:
        return is_integer(1) || given.text == "true" || given.text == "false" ||
               given.text == "t" || given.text == "f" || given.text == "True" ||
               given.text == "False";
      case CppType::CPPTYPE_ENUM:
        return given.type == Tokenizer::TYPE_INTEGER ||
               (is_name && !given.negative &&
                field.enum_type()->FindValueByName(std::string(given.text)) != nullptr);
      default:
        return true;
    }
  }

  const std::string_view text_;
  const Descriptor& type_;
  Tokens tokens_;
  TextCursor cursor_;
  Words words_;
  const bool short_options_;
  bool too_many_ = false;
  std::optional<bool> lacks_an_end_;
};

}  // namespace

Words WalkText(std::string_view text, const Descriptor& type) {
  Walker walker(text, type, /*short_options=*/true);
  Words words = walker.Walk();
  // If there are too many short forms, the parser must refuse all of them, including the first
  // ones.
  return walker.too_many() ? Walker(text, type, /*short_options=*/false).Walk() : words;
}

std::string Edited(std::string_view text, const std::vector<Words::Edit>& edits) {
  std::string edited;
  size_t done = 0;
  for (const Words::Edit& edit : edits) {
    edited += text.substr(done, edit.offset - done);
    edited += edit.text;
    done = edit.offset + edit.length;
  }
  return edited += text.substr(done);
}

TextPlace PlaceBefore(std::string_view text, const std::vector<Words::Edit>& edits,
                      TextPlace edited) {
  if (edits.empty()) return edited;
  size_t offset = TextCursor(Edited(text, edits)).OffsetOf(edited);
  for (const Words::Edit& edit : edits) {
    if (offset <= edit.offset) break;
    // Within the edit, or after it.
    offset = offset < edit.offset + edit.text.size() ? edit.offset
                                                     : offset + edit.length - edit.text.size();
  }
  return TextCursor(text).PlaceOf(offset);
}

TextPlace PlaceOfName(std::string_view text, std::string_view name, TextPlace behind) {
  const size_t end = TextCursor(text).OffsetOf(behind);
  const size_t begin = end < name.size() ? text.npos : text.rfind(name, end - name.size());
  return begin == text.npos ? behind : TextCursor(text).PlaceOf(begin);
}

}  // namespace mentor::spec
