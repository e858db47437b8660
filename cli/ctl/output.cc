#include "cli/ctl/output.h"

#include <algorithm>

#include <absl/strings/cord.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <absl/strings/strip.h>
#include <google/protobuf/util/json_util.h>

#include "cli/report/csv.h"
#include "common/status.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace mentor::ctl {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kHintPayload[] = "mentor/hint";  // Payload of a status.

bool Continues(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

// Quotes text that YAML would misread. JSON's quotes are valid in YAML.
std::string YamlText(const std::string& text) {
  static constexpr std::string_view kSafe =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+ ()";
  const bool safe = !text.empty() && text.find_first_not_of(kSafe) == text.npos &&
                    std::isalpha(static_cast<unsigned char>(text[0])) && text.back() != ' ';
  static constexpr std::string_view kWords[] = {"true", "false", "null", "yes", "no",
                                                "on",   "off",   "y",    "n"};
  std::string lower = text;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const bool word = std::find(std::begin(kWords), std::end(kWords), lower) != std::end(kWords);
  return safe && !word
             ? text
             : PrintableJson(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace));
}

void WriteYaml(const Json& value, int indent, bool in_list, std::string* text) {
  const std::string margin(indent, ' ');
  bool first = in_list;  // The first line continues after "- ".
  const auto begin = [&] {
    if (!first) *text += margin;
    first = false;
  };
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, child] : value.items()) {
      begin();
      *text += YamlText(key) + ":";
      if (child.is_structured() && !child.empty()) {
        *text += "\n";
        WriteYaml(child, indent + 2, false, text);
      } else {
        *text += " ";
        WriteYaml(child, indent, true, text);
      }
    }
  } else if (value.is_array() && !value.empty()) {
    for (const Json& child : value) {
      begin();
      *text += "- ";
      WriteYaml(child, indent + 2, true, text);
    }
  } else {
    begin();
    *text += value.is_string() ? YamlText(value.get<std::string>()) : value.dump();
    *text += "\n";
  }
}

// Returns a hint that names the verb that lists the missing kind of resource.
std::string WhereToLook(absl::string_view message) {
  if (absl::StrContains(message, "no peer "))
    return "run 'mentorctl peers' to see who is connected";
  const size_t begin = message.find("experiments/");
  if (begin == message.npos) return "";
  absl::string_view name = message.substr(begin + 12);
  name = name.substr(0, name.find_first_of("' ;,:"));
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  const bool below = parts.size() > 1 && (parts[1] == "checkpoints" || parts[1] == "artifacts");
  return below ? "run 'mentorctl " + parts[1] + " " + parts[0] + "' to see them"
               : "run 'mentorctl list' to see all experiments";
}

}  // namespace

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return kUsage;
    case absl::StatusCode::kNotFound:
      return kNotFound;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return kCredentials;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
      return kConflict;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
      return kUnavailable;
    case absl::StatusCode::kCancelled:
      return kInterrupted;
    default:
      return kFailed;
  }
}

Violations ViolationsOf(const absl::Status& status) {
  Violations violations;
  google::rpc::BadRequest details;
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  if (payload) details.ParseFromString(std::string(*payload));
  for (const auto& found : details.field_violations()) {
    absl::string_view field = found.field();
    if (!absl::ConsumePrefix(&field, "experiment.spec."))
      absl::ConsumePrefix(&field, "experiment.");
    violations.Add(std::string(field), found.description());
  }
  return violations;
}

absl::Status WithHint(absl::Status status, const std::string& hint) {
  if (!status.ok() && !hint.empty()) status.SetPayload(kHintPayload, absl::Cord(hint));
  return status;
}

size_t Width(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char c) { return !Continues(c); });
}

std::string Clip(std::string_view utf8, size_t width) {
  if (Width(utf8) <= width) return std::string(utf8);
  if (width == 0) return "";
  size_t bytes = 0;
  for (size_t shown = 0; bytes < utf8.size(); ++bytes) {
    if (!Continues(utf8[bytes]) && shown++ == width - 1) break;
  }
  return std::string(utf8.substr(0, bytes)) + "…";
}

std::string Styled(std::string_view text, Style style, bool color) {
  if (!color || style == Style::kPlain || text.empty()) return std::string(text);
  constexpr const char* kCodes[] = {"0", "1", "2", "32", "31", "36", "33"};  // By style.
  return absl::StrCat("\x1b[", kCodes[static_cast<int>(style)], "m", std::string(text), "\x1b[0m");
}

Style StyleOfState(std::string_view state) {
  if (state == "RUNNING") return Style::kBusy;
  if (state == "SUCCEEDED") return Style::kGood;
  if (state == "FAILED") return Style::kBad;
  if (state == "PAUSED" || state == "PAUSING" || state == "CANCELLING") return Style::kWarning;
  if (state == "CANCELLED") return Style::kDim;
  return Style::kPlain;
}

std::vector<std::string> TableLines(const std::vector<Row>& rows, int columns_max, bool color) {
  std::vector<Row> printable = rows;
  std::vector<size_t> widths;
  for (Row& row : printable) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      row[i].text = Printable(row[i].text);
      widths[i] = std::max(widths[i], Width(row[i].text));
    }
  }
  std::vector<std::string> lines;
  for (const Row& row : printable) {
    size_t last = row.size();
    while (last > 0 && row[last - 1].text.empty()) --last;
    std::string line;
    size_t used = 0;
    for (size_t i = 0; i < last; ++i) {
      std::string text = row[i].text;
      if (columns_max > 0) {
        if (used >= static_cast<size_t>(columns_max)) break;
        text = Clip(text, static_cast<size_t>(columns_max) - used);
      }
      const size_t padding = i + 1 < last ? widths[i] - std::min(widths[i], Width(text)) + 2 : 0;
      used += Width(text) + padding;
      line += Styled(text, row[i].style, color) + std::string(padding, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(std::move(line));
  }
  return lines;
}

std::vector<Row> WithRoom(std::vector<Row> rows, int columns_max,
                          const std::vector<std::string>& expendable) {
  if (columns_max <= 0 || rows.empty()) return rows;
  for (const std::string& name : expendable) {
    size_t width = 0;
    for (const std::string& line : TableLines(rows, 0, false)) width = std::max(width, Width(line));
    if (width <= static_cast<size_t>(columns_max)) break;
    const auto title = std::find_if(rows[0].begin(), rows[0].end(),
                                    [&](const Cell& cell) { return cell.text == name; });
    if (title == rows[0].end()) continue;
    const auto column = title - rows[0].begin();
    for (Row& row : rows) {
      if (column < std::ssize(row)) row.erase(row.begin() + column);
    }
  }
  return rows;
}

std::string ToJson(const google::protobuf::Message& message) {
  std::string text;
  google::protobuf::util::MessageToJsonString(message, &text).ok();
  return PrintableJson(text);
}

std::string JsonToYaml(const std::string& json, int indent) {
  std::string text;
  WriteYaml(Json::parse(json, nullptr, /*allow_exceptions=*/false), indent, false, &text);
  return text;
}

void Output::PrintJson(const std::string& json, const std::string& name) const {
  switch (format()) {
    case Format::kJson:
      std::printf("%s\n", json.c_str());
      break;
    case Format::kYaml:
      std::printf("%s", JsonToYaml(json).c_str());
      break;
    case Format::kName:
      std::printf("%s\n", Printable(name).c_str());
      break;
    case Format::kCsv:
    case Format::kTable:
      Table({{name}});
      break;
  }
}

void Output::Object(const google::protobuf::Message& message, const std::string& name,
                    const std::vector<Row>& rows) const {
  if (rows.empty() || (format() != Format::kCsv && !table())) {
    PrintJson(ToJson(message), name);
  } else {
    Table(rows);
  }
}

void Output::Document(const google::protobuf::Message& message, const std::string& name) const {
  if (format() == Format::kYaml) std::printf("---\n");
  PrintJson(ToJson(message), name);
  std::fflush(stdout);
}

void Output::Document(const Json& json, const std::string& name) const {
  if (format() == Format::kYaml) std::printf("---\n");
  PrintJson(PrintableJson(json.dump(-1, ' ', false, Json::error_handler_t::replace)), name);
}

void Output::Done(const google::protobuf::Message& message, const std::string& name,
                  const std::string& sentence) const {
  if (table()) {
    if (!options_.quiet) std::printf("%s\n", Printable(sentence).c_str());
  } else {
    Object(message, name, {});
  }
}

void Output::Table(const std::vector<Row>& rows) const {
  if (format() == Format::kCsv) {
    for (const Row& row : rows) {
      std::vector<std::string> cells;
      for (const Cell& cell : row) cells.push_back(Printable(cell.text));
      std::printf("%s", report::CsvLine(cells).c_str());
    }
    return;
  }
  for (const std::string& line : TableLines(rows, options_.columns, options_.color)) {
    std::printf("%s\n", line.c_str());
  }
}

void Output::Note(const std::string& sentence) const {
  if (!options_.quiet) std::fprintf(stderr, "%s\n", Printable(sentence).c_str());
}

std::string Output::HintOf(const absl::Status& status) const {
  const std::string reason = ReasonOf(status);
  switch (ExitCodeOf(status)) {
    case kNotFound:
      return reason == ReasonName(Reason::kNotFound) ? WhereToLook(status.message()) : "";
    case kCredentials:
      // The message already names the owner.
      if (reason == ReasonName(Reason::kNotOwner)) return "";
      return status.code() == absl::StatusCode::kPermissionDenied
                 ? "this needs another role; ask for a token that has it (mentorctl token new)"
                 : "--token_file or MENTOR_TOKEN identifies you; --tls_cert and --tls_key do where "
                   "certificates are required";
    case kConflict:
      return reason == ReasonName(Reason::kEtagMismatch)
                 ? "someone else changed it in the meantime; try again"
                 : "";
    case kUnavailable:
      if (!reason.empty() || options_.server.empty()) return "";
      if (status.code() == absl::StatusCode::kResourceExhausted)
        return "one message cannot hold so much; ask for less at once";
      return status.code() == absl::StatusCode::kDeadlineExceeded
                 ? "give a longer --timeout, or run 'mentorctl doctor' to check the server"
                 : "is mentor-meta-learner running at " + options_.server +
                       "? --server, MENTOR_SERVER or a context names another one. A server with "
                       "TLS needs --tls_ca, and --tls_cert with --tls_key where it asks for "
                       "client certificates. 'mentorctl doctor' checks more";
    default:
      break;
  }
  return "";
}

int Output::Fail(const absl::Status& status) const {
  std::fflush(stdout);
  if (format() == Format::kJson) {
    google::rpc::Status json;
    json.set_code(static_cast<int>(status.code()));
    json.set_message(std::string(status.message()));
    status.ForEachPayload([&](absl::string_view url, const absl::Cord& bytes) {
      if (url == kHintPayload) return;
      google::rpc::Status one;
      google::protobuf::Any& any = *one.add_details();
      any.set_type_url(std::string(url));
      any.set_value(std::string(bytes));
      // A detail of an unknown type has no JSON form.
      if (!ToJson(one).empty()) *json.add_details() = any;
    });
    std::fprintf(stderr, "%s\n", ToJson(json).c_str());
    return ExitCodeOf(status);
  }
  const std::string reason =
      ReasonOf(status).empty() ? absl::StatusCodeToString(status.code()) : ReasonOf(status);
  if (const Violations bad = ViolationsOf(status); !bad.empty()) {
    const size_t count = bad.list().size();
    std::fprintf(stderr, "error: %s: the request has %zu wrong field%s\n", reason.c_str(), count,
                 count == 1 ? "" : "s");
    for (const auto& [field, description] : bad.list())
      std::fprintf(stderr, "  %s: %s\n", Printable(field).c_str(), Printable(description).c_str());
  } else {
    std::fprintf(stderr, "error: %s: %s\n", reason.c_str(),
                 Printable({status.message().data(), status.message().size()}).c_str());
  }
  const auto hint = status.GetPayload(kHintPayload);
  const std::string advice = hint ? std::string(*hint) : HintOf(status);
  if (!advice.empty()) std::fprintf(stderr, "hint: %s\n", Printable(advice).c_str());
  return ExitCodeOf(status);
}

void Listing::Add(const google::protobuf::Message& message, const std::string& name, Row row) {
  any_ = true;
  if (output_->table() || output_->format() == Format::kCsv) {
    rows_.push_back(std::move(row));
  } else if (output_->format() == Format::kYaml) {
    std::string text = JsonToYaml(ToJson(message), 2);
    text[0] = '-';
    std::printf("%s", text.c_str());
  } else {
    output_->Object(message, name, {});
  }
}

int Listing::End() {
  if (output_->format() == Format::kYaml && !any_) std::printf("[]\n");
  if (output_->format() == Format::kCsv) output_->Table(rows_);
  if (output_->table()) {
    output_->Table(WithRoom(std::move(rows_), output_->options().columns, expendable_));
  }
  return kOk;
}

}  // namespace mentor::ctl
