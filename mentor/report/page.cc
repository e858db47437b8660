#include "mentor/report/page.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/evaluation_method.h"
#include "common/hash.h"
#include "mentor/report/chart.h"
#include "mentor/report/embedded.h"
#include "mentor/report/html.h"
#include "mentor/report/last_episodes.h"
#include "mentor/report/summary.h"
#include "mentor/report/table.h"
#include "mentor/report/theme.h"
#include "mentor/report/verdict.h"
#include "mentor/report/words.h"

namespace mentor::report {
namespace {

using Kind = Table::Cell::Kind;

std::string Paragraph(const std::string& text) {
  return "<p>" + EscapeHtml(text) + "</p>\n";
}

std::string Paragraphs(const std::vector<std::string>& sentences) {
  std::string html;
  for (const std::string& sentence : sentences) html += Paragraph(sentence);
  return html;
}

std::string ResultTable(const PageParts& parts, bool by_environment) {
  size_t segments = 0;
  bool has_det = false, has_return = false;
  std::vector<const MethodResult*> shown;
  for (const MethodResult& result : parts.results) {
    if (result.environment.empty() == by_environment) continue;
    shown.push_back(&result);
    segments = std::max(segments, result.segments.size());
    has_det = has_det || result.det;
    has_return = has_return || result.last_return;
  }
  if (shown.empty()) return "";
  std::vector<Table::Column> columns = {{"method"}};
  if (by_environment) columns.push_back({"environment"});
  for (size_t s = 0; s < segments; ++s)
    columns.push_back({PartName(static_cast<int>(s), segments), Kind::kInterval});
  columns.push_back({kLastEpisode, Kind::kInterval});
  if (has_det) columns.push_back({kWithoutNoise, Kind::kInterval});
  if (has_return) columns.push_back({"shaped return", Kind::kInterval});
  Table table("results",
              Capitalised(QuantityWords(shown[0]->quantity)) +
                  (by_environment ? " by environment" : " by method") + ", with 95 % intervals",
              columns);
  const auto value = [](const std::optional<Interval>& interval) {
    return interval ? Table::Value(*interval) : Table::None();
  };
  for (const MethodResult* result : shown) {
    std::vector<Table::Cell> row = {Table::Text(
        NameOf(result->method),
        GoalsOf(result->split, result->has_goals) + ", " + Several(result->lifetimes, "lifetime"))};
    if (by_environment) row.push_back(Table::Text(result->environment));
    for (size_t s = 0; s < segments; ++s)
      row.push_back(s < result->segments.size() ? Table::Value(result->segments[s])
                                                : Table::None());
    row.push_back(Table::Value(result->last));
    if (has_det) row.push_back(value(result->det));
    if (has_return) row.push_back(value(result->last_return));
    table.Add(std::move(row));
  }
  return table.Html();
}

// Says which weights, goals and seeds the evaluation holds. The evaluation at the end of the run
// and those of `mentor evaluate` may be pooled.
std::string EvaluatedWords(const PageParts& parts) {
  const ReportData& data = parts.data;
  std::string text;
  if (data.evaluated_update > 0) {
    text = absl::StrFormat("Weights after outer update %d", data.evaluated_update);
    if (const auto best = BestUpdate(data.training, data.evaluated_update)) {
      absl::StrAppendFormat(&text,
                            "; learned (best): after outer update %d, which had the best score on "
                            "the training goals",
                            *best);
    }
    text += ".";
  }
  std::map<std::string, std::map<uint64_t, std::set<uint64_t>>> goals;  // Goals by split and seed.
  for (const EvaluationRow& row : data.evaluation) goals[row.split][row.seed].insert(row.goal);
  for (const auto& [split, by_seed] : goals) {
    std::map<std::set<uint64_t>, std::set<uint64_t>> seeds;  // Seeds by goals.
    for (const auto& [seed, own] : by_seed) seeds[own].insert(seed);
    std::vector<std::string> words;
    for (const auto& [own, of] : seeds) {
      words.push_back(absl::StrFormat("seed%s of agents %s on goal%s %s", of.size() == 1 ? "" : "s",
                                      RangesOf(of), own.size() == 1 ? "" : "s", RangesOf(own)));
    }
    absl::StrAppendFormat(&text, " %s: %s.", Capitalised(GoalsOf(split)),
                          absl::StrJoin(words, "; "));
  }
  if (!data.evaluated_before.empty()) {
    absl::StrAppendFormat(
        &text, " Evaluations of older weights are not here: after outer update%s %s.",
        data.evaluated_before.size() == 1 ? "" : "s", RangesOf(data.evaluated_before));
  }
  return Paragraph(text);
}

std::string ComparisonTable(const PageParts& parts) {
  const std::vector<Comparison>& comparisons = parts.comparisons;
  if (comparisons.empty()) return "";
  Table table("differences", "Differences of two methods",
              {{"comparison"},
               {"goals"},
               {"part of the lifetime"},
               {"difference", Kind::kInterval},
               {"reading"}});
  bool all_paired = true;
  for (const Comparison& comparison : comparisons) {
    const Interval& d = comparison.difference;
    table.Add({Table::Text(NameOf(comparison.method) + " minus " + NameOf(comparison.baseline)),
               Table::Text(GoalsOf(comparison.split, comparison.has_goals)),
               Table::Text(PartName(comparison.segment, parts.results[0].segments.size())),
               Table::Value(d), Table::Text(WordOf(VerdictOf(d)))});
    all_paired = all_paired && comparison.paired;
  }
  return "<h3>Differences</h3>\n" + table.Html() + "<p class=\"note\">" +
         (all_paired ? "Differences are paired by goal: both methods lived on the same ones."
                     : "Where two methods lived on different goals, their samples are compared as "
                       "independent ones.") +
         "</p>\n";
}

std::string CorrelationTable(const std::vector<SignalSample>& samples) {
  if (samples.empty()) return "";
  const auto number = [](double value) {
    return Table::Number(value, absl::StrFormat("%.3f", value));
  };
  Table table("correlation", "Correlation of the signal with the shaped reward",
              {{"lifetime"},
               {"steps", Kind::kNumber},
               {"Pearson", Kind::kNumber},
               {"Spearman", Kind::kNumber},
               {"Pearson with its change", Kind::kNumber},
               {"Spearman with its change", Kind::kNumber}});
  const std::vector<Correlation> correlations = Correlate(samples);
  // The page shows a few single lifetimes; the CSV file has all.
  constexpr size_t kShown = 12;
  for (size_t i = 0; i < correlations.size(); ++i) {
    if (i >= kShown && i + 1 < correlations.size()) continue;
    const Correlation& row = correlations[i];
    table.Add({Table::Text(row.lifetime),
               Table::Number(static_cast<double>(row.steps), Grouped(row.steps)),
               number(row.pearson), number(row.spearman), number(row.change_pearson),
               number(row.change_spearman)});
  }
  return table.Html() +
         "<p class=\"note\">Its change is the shaped reward of a step minus that of the step "
         "before, within an episode: the progress of that step.</p>\n";
}

std::string CostTable(const std::vector<TrainingPoint>& training) {
  const std::vector<PhaseCost> costs = CostByPhase(training);
  if (costs.empty()) return "";
  Table table("phases", "CPU seconds of one outer update (mean)",
              {{"phase"}, {"seconds", Kind::kNumber}, {"share", Kind::kNumber}});
  double total = 0;
  for (const PhaseCost& cost : costs) {
    total += cost.seconds;
    table.Add({Table::Text(cost.phase),
               Table::Number(cost.seconds, absl::StrFormat("%.3g", cost.seconds)),
               Table::Number(cost.share, absl::StrFormat("%.0f %%", 100 * cost.share))});
  }
  table.Add(
      {Table::Text("all"), Table::Number(total, absl::StrFormat("%.3g", total)), Table::None()});
  return table.Html();
}

// Returns a path as a link, with %XX for special bytes.
std::string Link(const std::filesystem::path& path) {
  std::string link;
  for (const char c : path.generic_string()) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || std::string_view("/-_.~").find(c) != std::string_view::npos)
      link += c;
    else
      link += absl::StrFormat("%%%02X", byte);
  }
  return link;
}

std::string Films(const PageParts& parts) {
  std::string html;
  for (const std::filesystem::path& film : parts.data.films) {
    const std::string link = Link(std::filesystem::absolute(film).lexically_proximate(
        std::filesystem::absolute(parts.folder)));
    const std::string name = EscapeHtml(film.filename().string());
    html += "<figure><h3>" + name + "</h3>\n";
    html += film.extension() == ".gif"
                ? absl::StrFormat(
                      "<img class=\"film\" src=\"%s\" alt=\"Film of agents of this "
                      "run: %s\">\n",
                      link, name)
                : absl::StrFormat(
                      "<video controls muted preload=\"metadata\" src=\"%s\" "
                      "aria-label=\"Film of agents of this run: %s\"></video>\n",
                      link, name);
    html += "</figure>\n";
  }
  return html;
}

// The library and the page's script as one text. The page's security policy allows only its hash.
const std::string& WholeScript() {
  static const auto& script =
      *new std::string("\n" + std::string(kChartLibrary) + "\n" + std::string(kPageScript));
  return script;
}

std::string Policy() {
  Sha256 hash;
  hash.Update(WholeScript());
  return "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' file: data:; "
         "media-src 'self' file:; base-uri 'none'; form-action 'none'; script-src 'sha256-" +
         absl::Base64Escape(hash.Finish()) + "'";
}

}  // namespace

std::string MissingPictures(const absl::Status& drawn) {
  return drawn.ok()
             ? ""
             : "the pictures to download (SVG, PNG) are missing: " + std::string(drawn.message());
}

void AddWarnings(const std::vector<std::string>& found, std::vector<std::string>* warnings) {
  std::copy_if(found.begin(), found.end(), std::back_inserter(*warnings),
               [](const std::string& warning) { return !warning.empty(); });
}

std::string Warning(const std::string& text) {
  return text.empty() ? "" : "<p class=\"error\">" + EscapeHtml(Capitalised(text)) + ".</p>\n";
}

std::string PageHead(const std::string& title) {
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"" +
         Policy() + "\">\n<title>" + EscapeHtml(title) + "</title>\n<style>" + ThemeCss() +
         std::string(kPageStyle) + "</style></head>\n<body><main>\n<h1>" + EscapeHtml(title) +
         "</h1>\n";
}

std::string PageEnd(const std::vector<Figure>& figures) {
  return "</main>\n<script type=\"application/json\" id=\"charts\">" + ChartData(figures) +
         "</script>\n<script>" + WholeScript() + "</script></body></html>\n";
}

std::string Contents(const std::vector<Chapter>& chapters) {
  std::string html = "<nav aria-label=\"Contents\"><ul>\n";
  for (const Chapter& chapter : chapters) {
    html += "<li><a href=\"#" + chapter.id + "\">" + EscapeHtml(chapter.title) + "</a></li>\n";
  }
  html += "</ul></nav>\n";
  for (const Chapter& chapter : chapters) {
    html += "<h2 id=\"" + chapter.id + "\">" + EscapeHtml(chapter.title) + "</h2>\n" + chapter.html;
  }
  return html;
}

std::string FigureHtml(const Figure& figure, const std::map<std::string, std::string>& svgs,
                       const std::string& files_folder) {
  const auto svg = svgs.find(figure.name);
  const auto link = [&](const std::string& ending, const std::string& words) {
    return absl::StrFormat(" <a href=\"%s/%s%s\">%s<span hidden> of %s</span></a>",
                           EscapeHtml(files_folder), EscapeHtml(figure.name), ending, words,
                           EscapeHtml(figure.title));
  };
  const bool several = figure.panels.size() > 1;
  std::string html = absl::StrFormat("<figure id=\"%s\"%s><h3>%s</h3>\n", figure.name,
                                     several ? " class=\"wide\"" : "", EscapeHtml(figure.title));
  html += absl::StrFormat("<div data-figure=\"%s\" hidden><div class=\"panels%s\">\n", figure.name,
                          several ? " several" : "");
  std::vector<std::string> words;
  for (const Panel& panel : figure.panels) {
    words.push_back((several ? panel.title + ": " : "") + Describe(panel));
    html += "<div>" + (several ? "<h4>" + EscapeHtml(panel.title) + "</h4>" : "") +
            "<div class=\"canvas\" role=\"img\" aria-label=\"" + EscapeHtml(Describe(panel)) +
            "\"></div></div>\n";
  }
  html += "</div></div>\n";
  if (svg != svgs.end()) {
    html += "<noscript>" + InlineSvg(svg->second, figure.name + "-svg", absl::StrJoin(words, " ")) +
            "</noscript>\n";
  }
  html += "<figcaption>" + EscapeHtml(figure.caption) + " Files:";
  if (svg != svgs.end()) html += link(".svg", "SVG") + link(".png", "PNG");
  return html + link(".csv", "CSV") + link(".gp", "gnuplot") +
         "</figcaption>\n<details><summary>Numbers of this chart</summary>\n" + NumbersOf(figure) +
         "</details></figure>\n";
}

namespace {

// The chart that answers whether it worked: the evaluation, or else the curve of meta-training.
const Figure* FirstFigure(const Drawing& drawing) {
  for (const char* section : {"evaluation", "training"}) {
    for (const Figure& figure : drawing.figures) {
      if (figure.section == section) return &figure;
    }
  }
  return nullptr;
}

// Returns the figures of a section, without the one that opens the page.
std::string Figures(const PageParts& parts, const std::string& section) {
  std::string html;
  for (const Figure& figure : parts.drawing.figures) {
    if (figure.section == section && &figure != FirstFigure(parts.drawing))
      html += FigureHtml(figure, parts.svgs, parts.files_folder);
  }
  return html.empty() ? "" : "<div class=\"figures\">\n" + html + "</div>\n";
}

constexpr char kHowToRead[] = R"(<details><summary>How to read this page</summary>
<p>An <em>agent</em> is a policy that starts from random weights and lives one <em>lifetime</em> on
one goal: it collects a segment of episodes, learns from it (an <em>inner update</em>), collects the
next, and so on. The <em>signal network</em> watches the lifetime and gives the agent its reward or
its advantage at every step. <em>Meta-training</em> improves that network from whole lifetimes, one
<em>outer update</em> at a time.</p>
<ul>
<li><b>before learning, after 1 update, after 2 updates, ...</b>: the share of successful episodes
before the agent has learned anything, after its first update, after its second, and so on. An
episode succeeds when any of its steps does. It counts where it ends. Before learning is the
control: no signal can act there. Environments without success have their shaped return in place of
the rate. Files call these parts seg0, seg1, seg2, ... Agents that are never updated have one part,
the <b>whole lifetime</b>.</li>
<li><b>last episode</b>: the last one of the lifetime. <b>without noise</b>: episodes after it, in
which the agent acts deterministically (det in files).</li>
<li><b>shaped return</b>: the environment's hand-made progress reward, summed over an episode of the
last segment. It is shown for information; in the evaluation only PPO shaped, PPO sparse and shaped
and PPO potential learn from it.</li>
<li><b>Brackets and bands</b> are 95 % bootstrap intervals by levels (2000 resamples, always the
same random numbers): a resample draws goals, and within each goal its lifetimes, in every
environment. A run has one meta-seed, so its intervals do not cover others. An interval of no width
means that all lifetimes agreed, not that the rate is certain.</li>
<li><b>learned</b>: the final weights of the signal network. <b>learned (best)</b>: those with the
best score on training goals during meta-training. In the evaluation the network gives its mean, in
meta-training a sample.</li>
<li><b>PPO sparse</b>, <b>PPO shaped</b>, <b>PPO sparse and shaped</b>, <b>PPO potential</b>: the
same agents with lifetimes of the same length, taught by the success signal, by the shaped reward,
by their sum, or by success and the change of the shaped reward as a potential.
<b>random signal</b>: the signal network (of rules without one, whatever they learn) as it was
before meta-training, with random weights.</li>
<li><b>generation</b>: where an outer update is one part of a lifetime, the agents that begin
together. Generation 0 is the first.</li>
<li><b>agents beside their signal</b>: where an outer update is one part of a lifetime, agents learn
while their signal does. The mean is over the last whole episodes of each agent, wherever the parts
of its lifetime end, then over the agents of the last generation that lived longest. Evaluated
agents are measured after as many environment steps.</li>
<li><b>meta-seed</b>: the seed of the spec, which decides the first weights of the signal network
and all chance in meta-training, together with the goal seed, which draws the lists of goals where a
benchmark has some. Runs that differ in these two alone say how much chance matters. <b>Seed of
agents</b>: decides the agents' first weights and actions in an evaluation, and goals that are in no
list.</li>
</ul></details>
)";

// The facts for people; the spec follows below with every default.
std::string FactTable(const std::vector<std::pair<std::string, std::string>>& facts) {
  if (facts.empty()) return "";
  Table table("facts", "The run", {{"fact"}, {"value"}});
  for (const auto& [name, value] : facts) table.Add({Table::Text(name), Table::Text(value)});
  return table.Html();
}

}  // namespace

std::string MakePage(const PageParts& parts) {
  const ReportData& data = parts.data;
  std::string title = data.title.empty() ? "Mentor run" : data.title;
  if (!data.run.empty())
    absl::StrAppendFormat(&title, ": %s, seed %d", data.run, data.identity.seed);
  std::string html = PageHead(title) + "<div class=\"summary\">\n" +
                     Paragraphs(parts.summary.opening) + "</div>\n";
  if (const Figure* first = FirstFigure(parts.drawing))
    html += FigureHtml(*first, parts.svgs, parts.files_folder);
  if (!data.date.empty()) html += "<p class=\"sub\">Report of " + EscapeHtml(data.date) + ".</p>\n";
  for (const std::string& warning : parts.warnings) html += Warning(warning);
  html += kHowToRead;

  std::vector<Chapter> chapters;
  std::string chapter = Paragraphs(parts.summary.evaluation);
  if (!parts.results.empty()) {
    chapter += parts.results[0].quantity == Quantity::kSuccess
                   ? "<p>Success rates with frozen signal weights and fresh agents.</p>\n"
                   : "<p>No episode reports success, so the numbers are shaped returns of an "
                     "episode, with frozen signal weights and fresh agents.</p>\n";
    chapter += EvaluatedWords(parts) + ResultTable(parts, false);
    if (std::string table = ResultTable(parts, true); !table.empty())
      chapter += "<h3>By environment</h3>\n" + table;
    chapter += ComparisonTable(parts);
    for (const Table& table : parts.published) chapter += table.Html();
    chapter += Figures(parts, "evaluation");
  }
  chapters.push_back({"evaluation", "Evaluation", std::move(chapter)});
  if (!parts.last_episodes.empty()) {
    chapters.push_back(
        {"beside", kBesideTitle,
         Paragraphs(parts.beside) + parts.last_episodes.Html() + Figures(parts, kBesideSection)});
  }
  chapters.push_back({"meta-training", "Meta-training",
                      Paragraphs(parts.summary.training) + Figures(parts, "training")});
  chapters.push_back({"signal", "The signal",
                      (data.signals.empty() ? "<p>No signals have been recorded yet.</p>\n" : "") +
                          Figures(parts, "signal") + CorrelationTable(data.signals)});
  if (!data.films.empty()) chapters.push_back({"films", "Films", Films(parts)});
  const double speed = StepsPerSecond(data.training);
  chapter = CostTable(data.training) + Figures(parts, "cost");
  if (chapter.empty()) chapter = "<p>No times have been recorded yet.</p>\n";
  if (speed > 0) {
    chapter = "<p>" + Grouped(static_cast<uint64_t>(speed)) +
              " environment steps a second of wall time, learning included.</p>\n" + chapter;
  }
  chapters.push_back({"cost", "Throughput and cost", std::move(chapter)});

  chapter = FactTable(data.facts);
  chapter +=
      "<details open><summary>Specification, with every default</summary>\n"
      "<pre tabindex=\"0\">" +
      EscapeHtml(data.spec_text) + "</pre></details>\n";
  chapter += "<details><summary>All numbers as CSV</summary>\n<ul>\n";
  const auto add = [&](const std::string& name) {
    chapter += absl::StrFormat("<li><a href=\"%s/%s\">%s</a></li>\n", parts.files_folder,
                               EscapeHtml(name), EscapeHtml(name));
  };
  for (const CsvFile& table : parts.drawing.tables) add(table.name);
  for (const Figure& figure : parts.drawing.figures) add(figure.name + ".csv");
  chapter += "</ul></details>\n";
  chapters.push_back({"run", "The run", std::move(chapter)});
  return html + Contents(chapters) + PageEnd(parts.drawing.figures);
}

}  // namespace mentor::report
