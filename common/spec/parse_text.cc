#include "common/spec/parse_text.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/text_format.h>

#include "common/spec/spec.h"
#include "common/spec/spec_words.h"
#include "common/spec/wording.h"

namespace mentor::spec {
namespace {

using google::protobuf::Descriptor;

constexpr size_t kViolationsMax = 100;  // Keeps the report readable.
constexpr size_t kMessageBytesMax = 500;
constexpr size_t kOptionBytesMax = 60;

// Collects errors with line and column. Unknown fields arrive as warnings, but are errors here.
class Collector : public google::protobuf::io::ErrorCollector {
 public:
  Collector(std::string_view text, const Words& words) : text_(text), words_(words) {}

  // True if the rest of the text was not read.
  bool stopped() const { return !errors_.empty(); }
  // Returns complaints sorted by place; the place is negative if there is none.
  std::vector<Complaint> Found() {
    // The parser stops at the first error, while words_ has all of them.
    if (!errors_.empty() && !words_.complaints.empty()) {
      errors_ = words_.complaints;
      if (errors_.back().is_last) {
        std::erase_if(found_, [&](const Complaint& unknown) {
          return unknown.place >= errors_.back().place;
        });
      }
    }
    found_.insert(found_.end(), errors_.begin(), errors_.end());
    std::stable_sort(found_.begin(), found_.end(),
                     [](const Complaint& a, const Complaint& b) { return a.place < b.place; });
    if (found_.size() > kViolationsMax) {
      left_out_ += found_.size() - kViolationsMax;
      found_.resize(kViolationsMax);
    }
    if (left_out_ > 0)
      found_.push_back({kNowhere, absl::StrFormat("and %d more; mend these first", left_out_)});
    return std::move(found_);
  }

  void AddError(int line, int column, const std::string& message) override {
    errors_.push_back({PlaceOf(line, column), InPlainWords(message)});
  }
  void AddWarning(int line, int column, const std::string& message) override {
    if (found_.size() >= kViolationsMax) {
      ++left_out_;
      return;
    }
    // Message type "mentor.v1.RuleSpec" has no field named "outer_update".
    const std::vector<std::string> parts = absl::StrSplit(message, '"');
    const Descriptor* type =
        parts.size() >= 4
            ? google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(parts[1])
            : nullptr;
    if (type == nullptr) return found_.push_back({PlaceOf(line, column), message});
    std::string hint = FieldHint(*type, parts[3]);
    if (OptionList(*type) != nullptr) {
      hint += absl::StrFormat("%s option is written option { name: \"%s\" value: \"...\" }",
                              hint.ends_with('?') ? " An" : "; an",
                              Printable(parts[3], kOptionBytesMax));
    }
    // The parser's position is already after the name.
    found_.push_back(
        {PlaceOfName(text_, parts[3], PlaceOf(line, column)),
         absl::StrFormat("%s has no field %s; %s", type->name(), Quote(parts[3]), hint)});
  }

 private:
  static constexpr TextPlace kNowhere = {-1, 0};

  static std::string InPlainWords(const std::string& message) {
    if (message == "Unexpected end of string." ||
        message == "String literals cannot cross line boundaries.") {
      return "a text in quotes does not end on its line; close it with the quote that it begins "
             "with";
    }
    return message;
  }

  TextPlace PlaceOf(int line, int column) const {
    const TextPlace place = {line, column};
    return line < 0 ? place : PlaceBefore(text_, words_.edits, place);
  }

  const std::string_view text_;
  const Words& words_;
  std::vector<Complaint> found_;
  std::vector<Complaint> errors_;
  size_t left_out_ = 0;
};

}  // namespace

bool ParseText(std::string_view text, google::protobuf::Message* message, Violations* violations,
               std::string_view what) {
  if (text.size() > kSpecBytesMax) {
    violations->Add(std::string(what),
                    absl::StrFormat("has %d bytes; give at most %d", text.size(), kSpecBytesMax));
    return false;
  }
  // Byte order marks of UTF-16.
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
    violations->Add(std::string(what), "is UTF-16; save the file as UTF-8");
    return false;
  }
  if (const size_t zero = text.find('\0'); zero != text.npos) {
    violations->Add(std::string(what),
                    absl::StrFormat("has a zero byte at offset %d; give a text file", zero));
    return false;
  }
  // Byte order mark of UTF-8, which some editors write.
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  const Words words = WalkText(text, *message->GetDescriptor());
  const std::string edited = Edited(text, words.edits);
  Collector collector(text, words);
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&collector);
  parser.SetRecursionLimit(kSpecDepthMax);
  parser.AllowUnknownField(true);  // Reports all unknown fields; see Collector.
  google::protobuf::io::ArrayInputStream stream(edited.data(), static_cast<int>(edited.size()));
  const bool whole = parser.Parse(&stream, message) && !collector.stopped();
  for (const Complaint& found : collector.Found()) {
    const TextPlace place = found.place;
    violations->Add(place.line < 0
                        ? std::string(what)
                        : absl::StrFormat("line %d, column %d", place.line + 1, place.column + 1),
                    Printable(found.message, kMessageBytesMax));  // Messages quote the input.
  }
  return whole;
}

}  // namespace mentor::spec
