// The HTML page of a report. Pure functions.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "mentor/report/evaluation.h"
#include "mentor/report/figures.h"
#include "mentor/report/report.h"

namespace mentor::report {

struct PageParts {
  const ReportData& data;
  const std::vector<std::string>& summary;
  const std::vector<MethodResult>& results;
  const std::vector<Comparison>& comparisons;
  const Drawing& drawing;
  std::map<std::string, std::string> svgs;  // By name of the figure; files of gnuplot.
  std::string plot_error;                   // Why plots are missing; empty: they are not.
  std::string files_folder;                 // Link from the page to CSV and pictures.
};

std::string MakePage(const PageParts& parts);

// Shared by the pages of a run and of a comparison.
// Until the title inside <main>.
std::string PageHead(const std::string& title);
std::string FigureHtml(const Figure& figure, const std::map<std::string, std::string>& svgs,
                       const std::string& files_folder);

}  // namespace mentor::report
