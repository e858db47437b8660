// The HTML page of a report. Pure functions.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "mentor/report/evaluation.h"
#include "mentor/report/figures.h"
#include "mentor/report/report.h"
#include "mentor/report/table.h"

namespace mentor::report {

struct PageParts {
  const ReportData& data;
  const std::vector<std::string>& summary;
  const std::vector<MethodResult>& results;
  const std::vector<Comparison>& comparisons;
  const Table& last_episodes;           // Empty: no agent learned beside its signal.
  const std::vector<Table>& published;  // Beside what others have published.
  const Drawing& drawing;
  std::map<std::string, std::string> svgs;  // By name of the figure; files of gnuplot.
  std::vector<std::string> warnings;        // Of ReportFiles.
  std::string files_folder;                 // Link from the page to CSV and pictures.
  std::filesystem::path folder;             // Where the page will lie.
};

std::string MakePage(const PageParts& parts);

// Shared by the pages of a run and of a comparison.
// Why there are no pictures to download; empty: there are.
std::string MissingPictures(const absl::Status& drawn);
// Adds those that are not empty.
void AddWarnings(const std::vector<std::string>& found, std::vector<std::string>* warnings);
// A paragraph that stands out; nothing for an empty text.
std::string Warning(const std::string& text);
// Until the title inside <main>. Text from users is escaped by all of these.
std::string PageHead(const std::string& title);
// A part of a page under a title of its own.
struct Chapter {
  std::string id;  // For links.
  std::string title;
  std::string html = {};
};
// A list of links to the chapters, and the chapters.
std::string Contents(const std::vector<Chapter>& chapters);
// A chart, which is drawn in the page; the picture of gnuplot where there is no JavaScript; its
// numbers.
std::string FigureHtml(const Figure& figure, const std::map<std::string, std::string>& svgs,
                       const std::string& files_folder);
// The data of the charts, and what draws them.
std::string PageEnd(const std::vector<Figure>& figures);

}  // namespace mentor::report
