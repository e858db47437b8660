#include "mentor/report/write.h"

#include <fstream>
#include <set>
#include <sstream>
#include <system_error>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "mentor/report/gnuplot.h"

namespace mentor::report {
namespace {

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return absl::InternalError(absl::StrFormat("gnuplot left no %s", path.string()));
  return text.str();
}

}  // namespace

absl::Status WriteText(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file)
    return absl::UnavailableError(
        absl::StrFormat("cannot write %s: is the disk full?", path.string()));
  return absl::OkStatus();
}

absl::StatusOr<WrittenDrawing> WriteDrawing(const Drawing& drawing,
                                            const std::filesystem::path& folder,
                                            const std::filesystem::path& gnuplot) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrFormat("cannot make %s: %s", folder.string(), error.message()));
  }
  WrittenDrawing written;
  std::vector<CsvFile> tables = drawing.tables;
  for (const Figure& figure : drawing.figures) tables.push_back(TableOf(figure));
  std::set<std::string> names;
  for (const CsvFile& table : tables) {
    MENTOR_CHECK(names.insert(table.name).second);  // A duplicate name would overwrite a file.
    MENTOR_RETURN_IF_ERROR(WriteText(folder / table.name, table.text));
    written.files.push_back(folder / table.name);
  }
  for (const Figure& figure : drawing.figures) {
    const std::string script = figure.name + ".gp";
    MENTOR_RETURN_IF_ERROR(WriteText(folder / script, Script(figure)));
    written.files.push_back(folder / script);
    // gnuplot is missing, so the next attempt would fail too.
    if (absl::IsFailedPrecondition(written.drawn)) continue;
    const absl::Status status = RunGnuplot(gnuplot, folder, script);
    written.drawn.Update(status);
    if (!status.ok()) continue;
    MENTOR_ASSIGN_OR_RETURN(written.svgs[figure.name], ReadFile(folder / (figure.name + ".svg")));
    written.files.push_back(folder / (figure.name + ".svg"));
    written.files.push_back(folder / (figure.name + ".png"));
  }
  return written;
}

}  // namespace mentor::report
