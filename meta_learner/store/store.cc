#include "meta_learner/store/store.h"

#include "common/log.h"
#include "meta_learner/store/schema.h"
#include "meta_learner/store/sql_recovery.h"
#include "meta_learner/store/state_folder.h"
#include "meta_learner/store/store_database.h"

namespace mentor::meta_learner {
namespace {

absl::StatusOr<std::unique_ptr<Store>> Open(const StoreOptions& options, bool folders_need_rows) {
  StoreDatabase::Parts parts = {.on_lost = options.on_lost};
  if (options.database.empty()) {
    MENTOR_ASSIGN_OR_RETURN(parts.lock, TakeStateFolder(options.folder));
    MENTOR_ASSIGN_OR_RETURN(parts.writer, OpenStateDatabase(options, /*read_only=*/false));
    MENTOR_RETURN_IF_ERROR(sql::Migrate(parts.writer.get(), options.folder));
  } else {
    // Take the lease before the folder: another leader may still use the folder until then.
    MENTOR_RETURN_IF_ERROR(CheckStateFolder(options.folder));
    MENTOR_ASSIGN_OR_RETURN(parts.writer, OpenStateDatabase(options, /*read_only=*/false));
    parts.keeper = std::make_unique<LeaseKeeper>(options.database, parts.writer->Fence(),
                                                 options.advertise, options.on_lost);
    MENTOR_RETURN_IF_ERROR(sql::Migrate(parts.writer.get(), options.folder));
    MENTOR_ASSIGN_OR_RETURN(const std::string uid, StoreUidOf(parts.writer.get()));
    if (folders_need_rows) MENTOR_RETURN_IF_ERROR(CheckFolderIsOf(options.folder, uid));
    MENTOR_ASSIGN_OR_RETURN(parts.lock, ShareStateFolder(options.folder));
  }
  MENTOR_ASSIGN_OR_RETURN(parts.reader, OpenStateDatabase(options, /*read_only=*/true));
  auto store = std::make_unique<Store>(std::make_unique<StoreDatabase>(std::move(parts)),
                                       options.folder, options.objects);
  MENTOR_RETURN_IF_ERROR(store->database->Start());
  MENTOR_HISTORY("leads", {{"store", store->database->store_uid}});
  MENTOR_RETURN_IF_ERROR(store->records.FinishDeletions());
  MENTOR_RETURN_IF_ERROR(Recovery(store->database.get(), &store->files).Check(folders_need_rows));
  // On a full disk this may fail, which is not an error.
  if (const absl::Status emptied = store->records.EmptyLog(); !emptied.ok())
    MENTOR_LOG(kWarning, "the database's log could not be emptied", {{"why", emptied}});
  if (!options.database.empty())
    MENTOR_RETURN_IF_ERROR(WriteFolderIsOf(options.folder, store->database->store_uid));
  return store;
}

}  // namespace

Store::Store(std::unique_ptr<StoreDatabase> opened, std::filesystem::path folder,
             std::shared_ptr<ObjectStore> objects)
    : database(std::move(opened)),
      files(database.get(), std::move(folder), std::move(objects)),
      records(database.get(), &files),
      results(database.get(), &files) {}

Store::~Store() = default;

void Store::Advertise(const std::string& address) {
  if (database->keeper != nullptr) database->keeper->Advertise(address);
}

absl::StatusOr<std::unique_ptr<Store>> OpenStore(const StoreOptions& options) {
  return Open(options, /*folders_need_rows=*/true);
}

absl::StatusOr<std::unique_ptr<Store>> OpenStore(const std::filesystem::path& state_folder) {
  return OpenStore(StoreOptions{.folder = state_folder});
}

absl::StatusOr<std::vector<Reindexed>> Reindex(const StoreOptions& options) {
  MENTOR_ASSIGN_OR_RETURN(const auto store, Open(options, /*folders_need_rows=*/false));
  return Recovery(store->database.get(), &store->files).BringBack();
}

absl::StatusOr<std::unique_ptr<Store>> OpenStoreToRead(const StoreOptions& options) {
  StoreDatabase::Parts parts;
  MENTOR_ASSIGN_OR_RETURN(parts.reader, OpenStateDatabase(options, /*read_only=*/true));
  MENTOR_RETURN_IF_ERROR(sql::CheckSchema(parts.reader.get()));
  MENTOR_ASSIGN_OR_RETURN(parts.writer, OpenStateDatabase(options, /*read_only=*/true));
  auto store = std::make_unique<Store>(std::make_unique<StoreDatabase>(std::move(parts)),
                                       options.folder, options.objects);
  MENTOR_RETURN_IF_ERROR(store->database->Start());
  MENTOR_RETURN_IF_ERROR(CheckFolderIsOf(options.folder, store->database->store_uid));
  return store;
}

}  // namespace mentor::meta_learner
