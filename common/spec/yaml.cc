#include "common/spec/yaml.h"

#include <algorithm>
#include <map>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>

#include "common/spec/parse_text.h"
#include "common/spec/spec.h"
#include "common/spec/wording.h"
#include "common/spec/yaml_tree.h"

namespace mentor::spec {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

constexpr size_t kYamlComplaintsMax = 100;
// A spec of the largest size, with the quotes and brackets that YAML does without.
constexpr size_t kYamlTextBytesMax = 2 * kSpecBytesMax;

bool IsFieldName(std::string_view text) {
  return !text.empty() && !absl::ascii_isdigit(text[0]) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
}

// True for what the tokenizer of text format takes for one word or number.
bool IsWord(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  if (text.empty()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_exponent_sign = i > 0 && (text[i] == '-' || text[i] == '+') &&
                                  (text[i - 1] == 'e' || text[i - 1] == 'E') &&
                                  (absl::ascii_isdigit(text[0]) || text[0] == '.');
    if (!absl::ascii_isalnum(text[i]) && text[i] != '_' && text[i] != '.' && !is_exponent_sign)
      return false;
  }
  return true;
}

// Writes a tree as text format.
class YamlWriter {
 public:
  explicit YamlWriter(Violations* violations) : violations_(violations) {}

  // False after violations.
  bool Fields(const YamlNode& map, const Descriptor* type, int depth) {
    if (depth > kSpecDepthMax) {
      return Stop(map, absl::StrCat("the document is nested deeper than ", kSpecDepthMax,
                                    " groups; a spec needs fewer"));
    }
    std::map<std::string_view, int> lines;
    for (const auto& [key, value] : map.entries) {
      if (stopped_ || !CheckKey(*key)) continue;
      if (const auto [first, is_new] = lines.try_emplace(key->text, key->line); !is_new) {
        Complain(*key, absl::StrFormat("%s is set twice, first in line %d; remove one of them",
                                       Quote(key->text), first->second + 1));
        continue;
      }
      Field(*key, *value, type, depth);
    }
    return !stopped_;
  }

  const std::string& text() const { return text_; }

 private:
  bool Complain(const YamlNode& node, std::string what) {
    if (++complaints_ <= kYamlComplaintsMax)
      violations_->Add(absl::StrCat("line ", node.line + 1), std::move(what));
    return false;
  }
  bool Stop(const YamlNode& node, std::string what) {
    if (!stopped_) Complain(node, std::move(what));
    stopped_ = true;
    return false;
  }

  bool CheckKey(const YamlNode& key) {
    if (key.kind == YamlNode::Kind::kScalar && key.text == "<<") {
      return Complain(key,
                      "'<<' merges nothing in a spec; write the fields, or name another file by "
                      "'base'");
    }
    if (key.kind == YamlNode::Kind::kScalar && IsFieldName(key.text)) return true;
    return Complain(key,
                    absl::StrCat(key.kind == YamlNode::Kind::kScalar ? Quote(key.text) : "this key",
                                 " is no name of a field; write NAME: VALUE"));
  }

  void Field(const YamlNode& key, const YamlNode& value, const Descriptor* type, int depth) {
    const FieldDescriptor* field = type == nullptr ? nullptr : type->FindFieldByName(key.text);
    const bool is_option = field == nullptr && type != nullptr && OptionList(*type) != nullptr;
    GoTo(key);
    Write(absl::StrCat(key.text, ": "), key);
    if (value.kind == YamlNode::Kind::kList && (is_option || (field && !field->is_repeated()))) {
      // An option's list is a text, as with --set.
      if (!is_option || !Joined(key, value))
        Complain(key, absl::StrCat(Quote(key.text),
                                   " takes one value and has a list; write it "
                                   "without brackets and dashes"));
    } else if (value.kind == YamlNode::Kind::kList) {
      List(key, value, field, depth);
    } else if (field != nullptr && field->is_map() && value.kind == YamlNode::Kind::kMap) {
      Map(value, *field);
    } else {
      Value(key, value, field, is_option, depth);
    }
    Write(" ", value);
  }

  bool Joined(const YamlNode& key, const YamlNode& list) {
    std::vector<std::string> words;
    for (const auto& item : list.items) {
      if (item->kind != YamlNode::Kind::kScalar) return false;
      words.push_back(item->text);
    }
    Write(Quoted(absl::StrJoin(words, ",")), key);
    return true;
  }

  void List(const YamlNode& key, const YamlNode& list, const FieldDescriptor* field, int depth) {
    Write("[", list);
    for (const auto& item : list.items) {
      if (stopped_) return;
      if (&item != &list.items.front()) Write(", ", *item);
      GoTo(*item);
      if (item->kind == YamlNode::Kind::kList) {
        Complain(*item, absl::StrCat(Quote(key.text), " has a list in its list; give one list"));
      } else {
        Value(key, *item, field, /*is_option=*/false, depth);
      }
    }
    Write("]", list);
  }

  // Labels: text format has an entry of key and value for each.
  void Map(const YamlNode& map, const FieldDescriptor& field) {
    const FieldDescriptor* value_field = field.message_type()->map_value();
    Write("[", map);
    for (const auto& [key, value] : map.entries) {
      if (&key != &map.entries.front().first) Write(", ", *key);
      GoTo(*key);
      Write(absl::StrCat("{ key: ", Quoted(key->text), " value: "), *key);
      Value(*key, *value, value_field, /*is_option=*/false, kSpecDepthMax);
      Write(" }", *key);
    }
    Write("]", map);
  }

  void Value(const YamlNode& key, const YamlNode& value, const FieldDescriptor* field,
             bool is_option, int depth) {
    const bool is_group = field != nullptr && field->message_type() != nullptr;
    if (value.kind == YamlNode::Kind::kMap && !is_group && (field != nullptr || is_option)) {
      Complain(key, absl::StrCat(Quote(key.text),
                                 " takes one value and has fields; write the value behind it"));
      return;
    }
    if (value.kind == YamlNode::Kind::kMap || (value.kind == YamlNode::Kind::kNull && is_group)) {
      Write("{ ", value);
      Fields(value, is_group ? field->message_type() : nullptr, depth + 1);
      return Write("}", value);
    }
    if (value.kind == YamlNode::Kind::kNull) {
      Complain(key, absl::StrCat(Quote(key.text), " has no value; give one, or remove the line"));
      return;
    }
    if (is_group) {
      Complain(value, absl::StrCat(Quote(key.text), " is a group of fields and has the value ",
                                   Quote(value.text), "; indent its fields below it"));
      return;
    }
    GoTo(value);
    Write(Scalar(value, field, is_option), value);
  }

  std::string Scalar(const YamlNode& value, const FieldDescriptor* field, bool is_option) {
    using Type = FieldDescriptor::CppType;
    if (is_option || (field && field->cpp_type() == Type::CPPTYPE_STRING))
      return Quoted(value.text);
    // The name of an enumeration's value is a text, so it may have quotes.
    const bool is_name = field && field->cpp_type() == Type::CPPTYPE_ENUM;
    if (value.is_quoted && !(is_name && IsFieldName(value.text))) return Quoted(value.text);
    std::string_view text = value.text;
    if (text.starts_with('+')) text.remove_prefix(1);
    if (text.size() > 1 && text[0] == '0' &&
        std::all_of(text.begin(), text.end(), absl::ascii_isdigit)) {
      const size_t digit = std::min(text.find_first_not_of('0'), text.size() - 1);
      Complain(value, absl::StrCat("has ", Quote(text),
                                   ", which is decimal to some and octal to others; write ",
                                   Printable(text.substr(digit), 20)));
    }
    if (field != nullptr && IsNumber(*field)) return Number(value, text);
    return IsWord(text) ? std::string(text) : Quoted(text);
  }

  static bool IsNumber(const FieldDescriptor& field) {
    using Type = FieldDescriptor::CppType;
    const Type type = field.cpp_type();
    return type != Type::CPPTYPE_BOOL && type != Type::CPPTYPE_ENUM &&
           type != Type::CPPTYPE_STRING && type != Type::CPPTYPE_MESSAGE;
  }

  // A number as the text format has it. Others are told here: it would name parts of them.
  std::string Number(const YamlNode& value, std::string_view text) {
    const std::string lower = absl::AsciiStrToLower(absl::string_view(text.data(), text.size()));
    if (lower == ".inf" || lower == "-.inf" || lower == ".nan")
      return absl::StrReplaceAll(lower, {{".", ""}});
    const auto is_part = [](char c) {
      return absl::ascii_isdigit(c) || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E';
    };
    const std::string_view digits = text.substr(text.starts_with('-') ? 1 : 0);
    if (IsWord(text) && absl::ascii_isdigit(digits.front()) && !lower.starts_with("0x") &&
        !std::all_of(digits.begin(), digits.end(), is_part))
      Complain(value, absl::StrCat("has ", Quote(text),
                                   ", which is no number; write it in digits, as 1000 or 1e-4"));
    return IsWord(text) ? std::string(text) : Quoted(text);
  }

  static std::string Quoted(std::string_view text) {
    return absl::StrCat("\"", absl::Utf8SafeCEscape({text.data(), text.size()}), "\"");
  }

  // Ends lines up to the node's own. A value behind an alias may stand on an earlier one.
  void GoTo(const YamlNode& node) {
    for (; line_ < node.line && !stopped_; ++line_) Write("\n", node);
  }
  void Write(std::string_view text, const YamlNode& node) {
    if (stopped_) return;
    if (text_.size() + text.size() > kYamlTextBytesMax) {
      Stop(node, absl::StrCat("written out, with its aliases, the document has more than ",
                              kYamlTextBytesMax, " bytes; make it smaller"));
      return;
    }
    text_ += text;
  }

  std::string text_;
  int line_ = 0;
  bool stopped_ = false;
  size_t complaints_ = 0;
  Violations* const violations_;
};

}  // namespace

bool IsYaml(const std::filesystem::path& file) {
  return file.extension() == ".yaml" || file.extension() == ".yml";
}

std::optional<std::string> TextOfYaml(std::string_view yaml, const Descriptor& type,
                                      Violations* violations, std::string_view what) {
  // parse_text.h says what is wrong with these.
  if (yaml.size() > kSpecBytesMax || yaml.starts_with("\xff\xfe") || yaml.starts_with("\xfe\xff") ||
      yaml.find('\0') != yaml.npos)
    return std::string(yaml);
  Violations found;
  const YamlTree tree = ReadYaml(yaml, what, &found);
  YamlWriter writer(&found);
  if (found.empty() && tree.root) writer.Fields(*tree.root, &type, 0);
  violations->AddAll(found);
  if (!found.empty()) return std::nullopt;
  return writer.text();
}

bool ParseFile(const std::filesystem::path& file, std::string_view text,
               google::protobuf::Message* message, Violations* violations, std::string_view what) {
  if (!IsYaml(file)) return ParseText(text, message, violations, what);
  const auto written = TextOfYaml(text, *message->GetDescriptor(), violations, what);
  if (!written) return false;
  Violations found;
  const bool whole = ParseText(*written, message, &found, what);
  for (const Violation& one : found.list()) {
    // The columns are those of the text.
    violations->Add(one.field.substr(0, one.field.find(", column ")), one.description);
  }
  return whole;
}

}  // namespace mentor::spec
