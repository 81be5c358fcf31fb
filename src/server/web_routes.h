// The chat page and its history as routes of the server.
#pragma once

#include "server/api_server.h"
#include "server/history.h"

namespace axk1 {

// GET of the page and its files: open to everybody, since they hold nothing of anybody. Before
// run().
void add_web_routes(ApiServer& server);

// Below /api/, for the tenant of the request's key. `history` must outlive the server. Before
// run().
void add_history_routes(ApiServer& server, History& history);

}  // namespace axk1
