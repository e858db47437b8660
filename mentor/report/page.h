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
#include "mentor/report/summary.h"
#include "mentor/report/table.h"

namespace mentor::report {

struct PageParts {
  const ReportData& data;
  const Summary& summary;
  const std::vector<MethodResult>& results;
  const std::vector<Comparison>& comparisons;
  const std::vector<std::string>& beside;  // Sentences above the table:
  const Table& last_episodes;              // Empty when no agent learned beside its signal.
  const std::vector<Table>& published;     // Comparisons with published curves.
  const Drawing& drawing;
  std::map<std::string, std::string> svgs;  // gnuplot's SVG files by name of the figure.
  std::vector<std::string> warnings;        // Warnings of ReportFiles.
  std::string files_folder;                 // Link from the page to CSV files and pictures.
  std::filesystem::path folder;             // Destination folder of the page.
};

std::string MakePage(const PageParts& parts);

// --- Parts that the pages of a run and of a comparison share ---

// Explains why there are no pictures to download; empty if there are.
std::string MissingPictures(const absl::Status& drawn);
// Appends the non-empty texts to `warnings`.
void AddWarnings(const std::vector<std::string>& found, std::vector<std::string>* warnings);
// Returns a highlighted paragraph; empty for an empty text.
std::string Warning(const std::string& text);
// Returns the page up to the title inside <main>. All functions here escape text from users.
std::string PageHead(const std::string& title);
// A part of the page with its own title.
struct Chapter {
  std::string id;  // Anchor for links.
  std::string title;
  std::string html = {};
};
// Returns a list of links to the chapters, and the chapters.
std::string Contents(const std::vector<Chapter>& chapters);
// Returns a figure: the chart drawn in the page, gnuplot's picture for readers without JavaScript,
// and the numbers.
std::string FigureHtml(const Figure& figure, const std::map<std::string, std::string>& svgs,
                       const std::string& files_folder);
// Returns the data of the charts and the scripts that draw them.
std::string PageEnd(const std::vector<Figure>& figures);

}  // namespace mentor::report
