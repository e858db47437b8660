#include "common/option_page.h"

#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

namespace mentor {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kColumns = 100;
constexpr size_t kNameColumns = 14;

}  // namespace

Json OptionsJson(const OptionTable& options) {
  Json list = Json::array();
  for (const OptionInfo& option : options) {
    Json item = {{"name", option.name}, {"default", option.default_value}};
    switch (option.kind) {
      case OptionInfo::Kind::kNumber:
      case OptionInfo::Kind::kInteger:
        item["kind"] = option.kind == OptionInfo::Kind::kNumber ? "number" : "integer";
        item["min"] = option.min;
        item["max"] = option.max;
        break;
      case OptionInfo::Kind::kFlag:
        item["kind"] = "flag";
        break;
      case OptionInfo::Kind::kChoice:
        item["kind"] = "choice";
        item["choices"] = option.choices;
        break;
      case OptionInfo::Kind::kText:
        item["kind"] = "text";
        item["bytes_max"] = static_cast<int64_t>(option.max);
        item["required"] = option.required;
        break;
      case OptionInfo::Kind::kOthers:
        item["kind"] = "others";
        break;
    }
    item["help"] = option.help;
    list.push_back(std::move(item));
  }
  return list;
}

void AddField(std::string_view name, const std::string& text, std::string* page) {
  std::string head(name);
  for (const auto paragraph : absl::StrSplit(text, '\n')) {
    std::string line = absl::StrFormat("  %-*s", kNameColumns, head);
    head.clear();
    bool empty = true;
    for (const auto word : absl::StrSplit(paragraph, ' ', absl::SkipEmpty())) {
      if (!empty && line.size() + 1 + word.size() > kColumns) {
        absl::StrAppend(page, line, "\n");
        line.assign(2 + kNameColumns, ' ');
        empty = true;
      }
      absl::StrAppend(&line, empty ? "" : " ", word);
      empty = false;
    }
    absl::StrAppend(page, line, "\n");
  }
}

void AddOptions(const Json& options, std::string* page) {
  if (options.empty()) AddField("options", "none", page);
  std::string head = "options";
  for (const Json& option : options) {
    const std::string kind = option["kind"];
    if (kind == "others") {
      AddField(head, absl::StrCat("any other: ", option["help"].get<std::string>()), page);
      head.clear();
      continue;
    }
    if (kind == "text") {
      const bool required = option["required"];
      AddField(head,
               absl::StrCat(
                   option["name"].get<std::string>(), ": ",
                   required ? "required" : "default '" + option["default"].get<std::string>() + "'",
                   "; text of at most ", option["bytes_max"].get<int64_t>(), " bytes\n",
                   option["help"].get<std::string>()),
               page);
      head.clear();
      continue;
    }
    std::string legal = kind == "flag" ? "true or false" : kind;
    if (kind == "choice") {
      legal = absl::StrJoin(option["choices"].get<std::vector<std::string>>(), " | ");
    } else if (kind != "flag") {
      absl::StrAppendFormat(&legal, " from %g to %g", option["min"].get<double>(),
                            option["max"].get<double>());
    }
    AddField(head,
             absl::StrCat(option["name"].get<std::string>(), ": default ",
                          option["default"].get<std::string>(), "; ", legal, "\n",
                          option["help"].get<std::string>()),
             page);
    head.clear();
  }
}

void AddListLine(const std::string& name, const std::string& summary, std::string* page) {
  absl::StrAppendFormat(page, "  %-28s %s\n", name, summary);
}

}  // namespace mentor
