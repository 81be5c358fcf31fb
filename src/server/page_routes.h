// The chat page (server/web_assets.h) and its history (server/history_api.h) as routes.
#pragma once

#include "server/api_server.h"
#include "server/history.h"

namespace axk1 {

// GET of the page's files, open to all: what they ask of the API needs a key where that does.
// With a history, /api/... too; each key's tenant has its own. `history` must outlive the server.
void add_page_routes(ApiServer& server, History* history);

}  // namespace axk1
