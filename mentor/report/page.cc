#include "mentor/report/page.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/evaluation_method.h"
#include "mentor/report/html.h"
#include "mentor/report/summary.h"
#include "mentor/report/theme.h"

namespace mentor::report {
namespace {

constexpr char kCss[] = R"(
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 54rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .75rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--grid); }
h3 { font-size: 1rem; margin: 1.75rem 0 .25rem; }
p, li { max-width: 46rem; }
.sub, figcaption, .note { color: var(--muted); font-size: .9rem; }
.summary { border-left: 4px solid var(--blue); padding: .25rem 0 .25rem 1.1rem; margin: 1.5rem 0; }
.summary p { margin: .35rem 0; }
.error { border-left: 4px solid var(--vermillion); padding: .4rem 1.1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--grid); }
td.n, th.n { text-align: right; padding-left: .6rem; white-space: nowrap; }
td small { color: var(--muted); display: block; }
caption { text-align: left; color: var(--muted); padding-bottom: .4rem; white-space: nowrap; }
figure { margin: .5rem 0 2rem; }
figure svg { width: 100%; height: auto; display: block; }
figure svg text { font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
figure svg tspan { font-family: inherit; }
a { color: var(--blue); }
details { margin: .75rem 0; }
summary { cursor: pointer; }
pre { overflow-x: auto; padding: .9rem 1rem; border: 1px solid var(--grid); border-radius: 4px;
  font-size: .85rem; line-height: 1.45; }
code { font-size: .9em; }
)";

std::string Paragraph(const std::string& text) {
  return "<p>" + EscapeHtml(text) + "</p>\n";
}

std::string Cell(const Interval& interval) {
  const std::string text = FormatInterval(interval);
  const size_t space = text.find(' ');
  return "<td class=\"n\">" + text.substr(0, space) + "<small>" + text.substr(space + 1) +
         "</small></td>";
}
std::string Cell(const std::string& text) {
  return "<td>" + EscapeHtml(text) + "</td>";
}
std::string Number(const std::string& text) {
  return "<td class=\"n\">" + EscapeHtml(text) + "</td>";
}

std::string SplitWords(const std::string& split) {
  return split == "test" ? "unseen goals" : split == "train" ? "training goals" : split;
}

std::string ResultTable(const std::vector<MethodResult>& results, bool by_environment) {
  size_t segments = 0;
  bool has_det = false, has_return = false;
  std::vector<const MethodResult*> shown;
  for (const MethodResult& result : results) {
    if (result.environment.empty() == by_environment) continue;
    shown.push_back(&result);
    segments = std::max(segments, result.segments.size());
    has_det = has_det || result.det;
    has_return = has_return || result.last_return;
  }
  if (shown.empty()) return "";
  std::string html = "<div class=\"scroll\"><table><thead><tr>";
  if (by_environment) html += "<th>environment</th>";
  html += "<th>method</th>";
  for (size_t s = 0; s < segments; ++s) html += absl::StrFormat("<th class=\"n\">seg%d</th>", s);
  html += "<th class=\"n\">last</th>";
  if (has_det) html += "<th class=\"n\">det</th>";
  if (has_return) html += "<th class=\"n\">return</th>";
  html += "</tr></thead><tbody>\n";
  for (const MethodResult* result : shown) {
    html += "<tr>";
    if (by_environment) html += Cell(result->environment);
    html += absl::StrFormat("<td>%s<small>%s, %d lifetimes</small></td>",
                            EscapeHtml(NameOf(result->method)), SplitWords(result->split),
                            result->lifetimes);
    for (size_t s = 0; s < segments; ++s) {
      html += s < result->segments.size() ? Cell(result->segments[s]) : Number("-");
    }
    html += Cell(result->last);
    if (has_det) html += result->det ? Cell(*result->det) : Number("-");
    if (has_return) html += result->last_return ? Cell(*result->last_return) : Number("-");
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string ComparisonTable(const std::vector<Comparison>& comparisons) {
  if (comparisons.empty()) return "";
  std::string html =
      "<h3>Differences</h3>\n<div "
      "class=\"scroll\"><table><thead><tr><th>goals</th><th>comparison</th>"
      "<th>part</th><th class=\"n\">difference</th><th>reading</th></tr></thead><tbody>\n";
  bool all_paired = true;
  for (const Comparison& comparison : comparisons) {
    const Interval& d = comparison.difference;
    const char* reading = d.low > 0 ? "higher" : d.high < 0 ? "lower" : "not distinguishable";
    html += "<tr>" + Cell(SplitWords(comparison.split)) +
            Cell(NameOf(comparison.method) + " - " + NameOf(comparison.baseline)) +
            Cell(absl::StrFormat("seg%d", comparison.segment)) + Cell(d) + Cell(reading) +
            "</tr>\n";
    all_paired = all_paired && comparison.paired;
  }
  html += "</tbody></table></div>\n";
  return html + "<p class=\"note\">" +
         (all_paired ? "Lifetimes with the same goal and the same random numbers are subtracted "
                       "one by one."
                     : "Where two methods lived other lifetimes, the samples are compared as "
                       "independent ones.") +
         "</p>\n";
}

std::string CorrelationTable(const std::vector<SignalSample>& samples) {
  if (samples.empty()) return "";
  const auto number = [](double value) {
    return std::isnan(value) ? std::string("-") : absl::StrFormat("%.3f", value);
  };
  std::string html =
      "<div class=\"scroll\"><table><caption>Correlation of the signal with the shaped "
      "reward</caption><thead><tr>"
      "<th>lifetime</th><th class=\"n\">steps</th><th class=\"n\">Pearson</th><th "
      "class=\"n\">Spearman</th>"
      "<th class=\"n\">Pearson with its change</th><th class=\"n\">Spearman with its "
      "change</th></tr></thead><tbody>\n";
  const std::vector<Correlation> correlations = Correlate(samples);
  // A page shows a few single lifetimes; all are in the CSV file.
  constexpr size_t kShown = 12;
  for (size_t i = 0; i < correlations.size(); ++i) {
    if (i >= kShown && i + 1 < correlations.size()) continue;
    const Correlation& row = correlations[i];
    html += "<tr>" + Cell(row.lifetime) + Number(absl::StrFormat("%d", row.steps)) +
            Number(number(row.pearson)) + Number(number(row.spearman)) +
            Number(number(row.change_pearson)) + Number(number(row.change_spearman)) + "</tr>\n";
  }
  return html +
         "</tbody></table></div>\n<p class=\"note\">Its change is the shaped reward of a step less "
         "that of the step before, within an "
         "episode: the progress that the step itself made.</p>\n";
}

std::string CostTable(const std::vector<TrainingPoint>& training) {
  const std::vector<PhaseCost> costs = CostByPhase(training);
  if (costs.empty()) return "";
  std::string html =
      "<div class=\"scroll\"><table><caption>CPU seconds of one outer update "
      "(mean)</caption><thead><tr><th>phase</th>"
      "<th class=\"n\">seconds</th><th class=\"n\">share</th></tr></thead><tbody>\n";
  double total = 0;
  for (const PhaseCost& cost : costs) {
    total += cost.seconds;
    html += "<tr>" + Cell(cost.phase) + Number(absl::StrFormat("%.3g", cost.seconds)) +
            Number(absl::StrFormat("%.0f %%", 100 * cost.share)) + "</tr>\n";
  }
  return html + "<tr>" + Cell("all") + Number(absl::StrFormat("%.3g", total)) + Number("") +
         "</tr></tbody></table></div>\n";
}

}  // namespace

std::string PageHead(const std::string& title) {
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
         EscapeHtml(title) + "</title>\n<style>" + ThemeCss() + kCss +
         "</style></head>\n<body><main>\n<h1>" + EscapeHtml(title) + "</h1>\n";
}

std::string FigureHtml(const Figure& figure, const std::map<std::string, std::string>& svgs,
                       const std::string& files_folder) {
  const auto svg = svgs.find(figure.name);
  const auto link = [&](const std::string& file, const std::string& words) {
    return absl::StrFormat("<a href=\"%s/%s\">%s</a>", EscapeHtml(files_folder), EscapeHtml(file),
                           words);
  };
  std::string html =
      "<figure id=\"" + figure.name + "\"><h3>" + EscapeHtml(figure.title) + "</h3>\n";
  if (svg != svgs.end()) html += InlineSvg(svg->second, figure.name + "-svg", figure.title);
  html += "<figcaption>" + EscapeHtml(figure.caption) + " ";
  if (svg != svgs.end())
    html += link(figure.name + ".svg", "SVG") + " " + link(figure.name + ".png", "PNG") + " ";
  return html + link(figure.csv, "CSV") + "</figcaption></figure>\n";
}

namespace {

std::string Figures(const PageParts& parts, const std::string& section) {
  std::string html;
  for (const Figure& figure : parts.drawing.figures) {
    if (figure.section == section) html += FigureHtml(figure, parts.svgs, parts.files_folder);
  }
  return html;
}

constexpr char kHowToRead[] = R"(<details><summary>How to read this page</summary>
<p>An <em>agent</em> is a policy that starts from random weights and lives one <em>lifetime</em> on
one goal: it collects a segment of episodes, learns from it (an <em>inner update</em>), collects the
next, and so on. The <em>signal network</em> watches the lifetime and gives the agent its reward or
its advantage at every step. <em>Meta-training</em> improves that network from whole lifetimes, one
<em>outer update</em> at a time.</p>
<ul>
<li><b>seg0, seg1, seg2, ...</b>: share of successful episodes before any learning, after one inner
update, after two, ... An episode is successful when any of its steps is. seg0 is the control: no
method can act on it. An episode counts where it ends. Environments without success have their
shaped return in place of the rate.</li>
<li><b>last</b>: the last episode of the lifetime. <b>det</b>: episodes afterwards in which the
agent acts without noise.</li>
<li><b>return</b>: the shaped return, which is the environment's hand-made progress reward summed
over an episode of the last segment. It is shown for information; at evaluation only PPO shaped
and PPO sparse and shaped learn from it.</li>
<li><b>Brackets and bands</b> are 95 % bootstrap intervals over lifetimes (2000 resamples, always
the same random numbers). An interval of no width means that all lifetimes agreed, not that the rate
is certain.</li>
<li><b>learned</b>: the final weights of the signal network, <b>learned (best)</b>: those with the
best score on training goals during meta-training. In evaluation the network gives its mean, in
meta-training a sample.</li>
<li><b>PPO sparse</b>, <b>PPO shaped</b>, <b>PPO sparse and shaped</b>: the same agents with the
same budget, taught by the success signal, by the shaped reward, or by their sum.
<b>random signal</b>: the signal network as it was before meta-training.</li>
</ul></details>
)";

}  // namespace

std::string MakePage(const PageParts& parts) {
  const ReportData& data = parts.data;
  const std::string title = data.title.empty() ? "Mentor run" : data.title;
  std::string html = PageHead(title);
  html += "<p class=\"sub\">What meta-training showed in this run: " +
          EscapeHtml(data.signal_role.empty()
                         ? absl::StrCat("what ", data.identity.rule, " gives agents to begin with")
                         : "a network that gives agents their " + data.signal_role) +
          ".</p>\n<div class=\"summary\">\n";
  for (const std::string& sentence : parts.summary) html += Paragraph(sentence);
  html += "</div>\n";
  if (!parts.plot_error.empty()) {
    html += "<p class=\"error\">Plots are missing: " + EscapeHtml(parts.plot_error) + "</p>\n";
  }
  html += kHowToRead;

  html += "<h2>Evaluation</h2>\n";
  if (parts.results.empty()) {
    html += "<p>There are no evaluated episodes.</p>\n";
  } else {
    html += parts.results[0].quantity == Quantity::kSuccess
                ? "<p>Success rates with frozen signal weights and fresh agents.</p>\n"
                : "<p>No episode reports success, so the numbers are shaped returns of an episode, "
                  "with frozen signal weights and fresh agents.</p>\n";
    html += ResultTable(parts.results, false);
    if (std::string table = ResultTable(parts.results, true); !table.empty()) {
      html += "<h3>By environment</h3>\n" + table;
    }
    html += ComparisonTable(parts.comparisons) + Figures(parts, "evaluation");
  }
  html += "<h2>Meta-training</h2>\n";
  html += data.training.empty() ? "<p>No outer update has been made yet.</p>\n"
                                : Figures(parts, "training");
  html += "<h2>The signal</h2>\n";
  if (data.signals.empty()) html += "<p>No signals have been recorded yet.</p>\n";
  html += Figures(parts, "signal") + CorrelationTable(data.signals);
  html += "<h2>Throughput and cost</h2>\n";
  const double speed = StepsPerSecond(data.training);
  if (speed > 0) {
    html += absl::StrFormat(
        "<p>%.0f environment steps a second of wall time, learning included.</p>\n", speed);
  }
  const std::string cost = CostTable(data.training) + Figures(parts, "cost");
  html += cost.empty() ? "<p>No times have been recorded yet.</p>\n" : cost;

  html += "<h2>The run</h2>\n";
  if (!data.facts.empty()) {
    html += "<div class=\"scroll\"><table><tbody>\n";
    for (const auto& [name, value] : data.facts)
      html += "<tr>" + Cell(name) + Cell(value) + "</tr>\n";
    html += "</tbody></table></div>\n";
  }
  html += "<details open><summary>Specification, with every default</summary>\n<pre>" +
          EscapeHtml(data.spec_text) + "</pre></details>\n";
  if (!parts.drawing.tables.empty()) {
    html += "<details><summary>All numbers as CSV</summary>\n<ul>\n";
    for (const CsvFile& table : parts.drawing.tables) {
      html += absl::StrFormat("<li><a href=\"%s/%s\">%s</a></li>\n", EscapeHtml(parts.files_folder),
                              EscapeHtml(table.name), EscapeHtml(table.name));
    }
    html += "</ul></details>\n";
  }
  return html + "</main></body></html>\n";
}

}  // namespace mentor::report
