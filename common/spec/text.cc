#include "common/spec/text.h"

#include <string>
#include <vector>

#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/text_format.h>

#include "common/spec/spec.h"
#include "common/spec/wording.h"

namespace mentor::spec {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

constexpr size_t kViolationsMax = 100;  // A report that somebody reads.
constexpr size_t kMessageBytesMax = 500;
constexpr size_t kOptionBytesMax = 60;

// The legal values of an enum field of any message beside this one.
std::string ChoicesOfField(const Descriptor& type, const std::string& name,
                           const std::string& given) {
  const auto* file = type.file();
  for (int i = 0; i < file->message_type_count(); ++i) {
    const FieldDescriptor* field = file->message_type(i)->FindFieldByName(name);
    if (field != nullptr && field->enum_type() != nullptr)
      return "one of " + EnumChoices(*field->enum_type(), given);
  }
  return "a value of the field's enumeration";
}

// Collects errors with line and column; unknown fields come as warnings and are errors to us.
class Collector : public google::protobuf::io::ErrorCollector {
 public:
  Collector(const Descriptor& type, std::string_view what, Violations* violations)
      : type_(type), what_(what), violations_(violations) {}

  // True when the rest of the text was not read.
  bool stopped() const { return stopped_; }

  void AddError(int line, int column, const std::string& message) override {
    stopped_ = true;
    // Unknown enumeration value of "PUNISHMENT" for field "role".
    const std::vector<std::string> parts = absl::StrSplit(message, '"');
    const bool enumeration = parts.size() == 5 && parts[0] == "Unknown enumeration value of ";
    Add(line, column,
        enumeration ? message + " Give " + ChoicesOfField(type_, parts[3], parts[1]) : message);
  }
  void AddWarning(int line, int column, const std::string& message) override {
    // Message type "mentor.v1.RuleSpec" has no field named "outer_update".
    const std::vector<std::string> parts = absl::StrSplit(message, '"');
    const Descriptor* type =
        parts.size() >= 4
            ? google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(parts[1])
            : nullptr;
    if (type == nullptr) return Add(line, column, message);
    std::string hint = FieldHint(*type, parts[3]);
    if (!hint.ends_with('?') && type->FindFieldByName("option") != nullptr) {
      hint += absl::StrFormat("; an option is written option { name: \"%s\" value: \"...\" }",
                              Printable(parts[3], kOptionBytesMax));
    }
    Add(line, column,
        absl::StrFormat("%s has no field %s; %s", type->name(), Quote(parts[3]), hint));
  }

 private:
  void Add(int line, int column, const std::string& message) {
    if (violations_->list().size() >= kViolationsMax) return;
    const std::string place =
        line < 0 ? what_ : absl::StrFormat("line %d, column %d", line + 1, column + 1);
    violations_->Add(place, Printable(message, kMessageBytesMax));  // Messages quote the input.
  }

  const Descriptor& type_;
  const std::string what_;
  Violations* const violations_;
  bool stopped_ = false;
};

}  // namespace

bool ParseText(std::string_view text, google::protobuf::Message* message, Violations* violations,
               std::string_view what) {
  if (text.size() > kSpecBytesMax) {
    violations->Add(std::string(what),
                    absl::StrFormat("has %d bytes; give at most %d", text.size(), kSpecBytesMax));
    return false;
  }
  if (const size_t zero = text.find('\0'); zero != text.npos) {
    violations->Add(std::string(what),
                    absl::StrFormat("has a zero byte at offset %d; give a text file", zero));
    return false;
  }
  // A mark of UTF-8, which some editors write.
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  Collector collector(*message->GetDescriptor(), what, violations);
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&collector);
  parser.SetRecursionLimit(kSpecDepthMax);
  parser.AllowUnknownField(true);  // So that all of them are reported; see Collector.
  google::protobuf::io::ArrayInputStream stream(text.data(), static_cast<int>(text.size()));
  return parser.Parse(&stream, message) && !collector.stopped();
}

}  // namespace mentor::spec
