// The output of mentorctl: tables for people, JSON, YAML and CSV for programs, names for shells.
// Errors go to stderr, with exit codes that scripts rely on. One thread.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <google/protobuf/message.h>
#include <nlohmann/json.hpp>

#include "common/printable.h"
#include "common/violations.h"

namespace mentor::ctl {

// Exit codes are part of the interface: scripts rely on them.
enum Exit : int {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,  // Also when the server finds the request invalid.
  kNotFound = 3,
  kCredentials = 4,
  kConflict = 5,  // The resource exists already, or its state forbids the call.
  kUnavailable = 6,
  kOtherState = 7,  // The wait ended in another state.
  kInterrupted = 130,
};
int ExitCodeOf(const absl::Status& status);
// Returns the wrong fields of a request, as the author of a spec wrote them: without the prefix of
// the request.
Violations ViolationsOf(const absl::Status& status);
// Adds a sentence for people, which says what to do and is printed below the error. OK and an empty
// sentence change nothing.
absl::Status WithHint(absl::Status status, const std::string& hint);
// Meaning of each exit code, for people.
inline constexpr std::pair<Exit, std::string_view> kExitMeanings[] = {
    {kOk, "done"},
    {kFailed, "failed"},
    {kUsage, "usage or invalid request"},
    {kNotFound, "not found"},
    {kCredentials, "credentials or role"},
    {kConflict, "conflict or wrong state"},
    {kUnavailable, "unavailable or timed out"},
    {kOtherState, "the wait ended in another state"},
    {kInterrupted, "interrupted"},
};

enum class Format { kTable, kJson, kYaml, kCsv, kName };

enum class Style { kPlain, kBold, kDim, kGood, kBad, kBusy, kWarning };

// A cell of a table.
struct Cell {
  Cell(std::string text, Style style = Style::kPlain) : text(std::move(text)), style(style) {}
  Cell(const char* text, Style style = Style::kPlain) : text(text), style(style) {}
  std::string text;
  Style style;
};
using Row = std::vector<Cell>;

// Returns the lines of a table: columns as wide as their cells, two spaces between them, no
// trailing spaces. With columns_max above 0, longer lines are cut there. The first row is the
// header.
std::vector<std::string> TableLines(const std::vector<Row>& rows, int columns_max, bool color);

// Returns the rows without the columns that do not fit in columns_max characters; 0: no limit.
// `expendable` names header columns in the order in which they are dropped.
std::vector<Row> WithRoom(std::vector<Row> rows, int columns_max,
                          const std::vector<std::string>& expendable);

// Number of characters on a terminal, assuming one per code point.
size_t Width(std::string_view utf8);
// Returns at most `width` characters; the last one is "…" when text was cut.
std::string Clip(std::string_view utf8, size_t width);
// All foreign text shown to people must pass through Printable; tables call it themselves.
using mentor::Printable;
std::string Styled(std::string_view text, Style style, bool color);
// Returns the style for a state.
Style StyleOfState(std::string_view state);

// Returns protobuf JSON on one line without the line end. It contains no terminal control
// characters, and unset fields are left out.
std::string ToJson(const google::protobuf::Message& message);
// Returns a JSON value as YAML. Every line is indented by `indent` spaces and ends with a line end.
std::string JsonToYaml(const std::string& json, int indent = 0);

// The destination and the format of output.
class Output {
 public:
  struct Options {
    Format format = Format::kTable;
    bool quiet = false;
    bool color = false;  // Color on stdout.
    int columns = 0;     // Width of the terminal on stdout; 0 without a terminal.
    std::string server;  // For hints.
  };
  explicit Output(Options options) : options_(std::move(options)) {}

  Format format() const { return options_.format; }
  bool table() const { return options_.format == Format::kTable; }
  const Options& options() const { return options_; }

  // Prints one object as JSON, as YAML, as its name, or as the rows of a table without a header.
  // Without rows, it prints the name instead of a table.
  void Object(const google::protobuf::Message& message, const std::string& name,
              const std::vector<Row>& rows) const;
  // Prints one of several objects for programs as it comes: a line of JSON, a document of YAML, or
  // its name.
  void Document(const google::protobuf::Message& message, const std::string& name) const;
  void Document(const nlohmann::ordered_json& json, const std::string& name) const;
  // Prints the result of a change: a sentence for people.
  void Done(const google::protobuf::Message& message, const std::string& name,
            const std::string& sentence) const;
  void Table(const std::vector<Row>& rows) const;
  // Prints a line on stderr for people, except with --quiet.
  void Note(const std::string& sentence) const;
  // Prints "error: REASON: sentence" and a hint, or a google.rpc.Status in JSON. Returns the exit
  // code.
  int Fail(const absl::Status& status) const;

 private:
  void PrintJson(const std::string& json, const std::string& name) const;
  std::string HintOf(const absl::Status& status) const;

  const Options options_;
};

// Prints a list in the requested format: JSON, YAML and names as items arrive, a table at the end.
class Listing {
 public:
  // A narrow terminal drops the columns of `expendable`, in their order.
  Listing(const Output* output, Row header, std::vector<std::string> expendable = {})
      : output_(output), expendable_(std::move(expendable)), rows_{std::move(header)} {}
  void Add(const google::protobuf::Message& message, const std::string& name, Row row);
  int End();  // Returns kOk.

 private:
  const Output* const output_;
  const std::vector<std::string> expendable_;
  std::vector<Row> rows_;
  bool any_ = false;
};

}  // namespace mentor::ctl
