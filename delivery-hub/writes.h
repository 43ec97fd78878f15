/* The writes of the API: each is one command (command.h). Accept and next are in accept.h. */
#pragma once
#include "command.h"
#include "routes.h"

/* Before http_start. */
void writes_init(const struct hub *hub);

enum status post_order(struct http_request *req);
enum status post_pickup(struct http_request *req);
enum status post_deliver(struct http_request *req);
enum status post_release(struct http_request *req);
enum status post_cancel(struct http_request *req);

/* What every write consists of: write_begin, command_run with the command's work, write_end. */
/* BAD_REQUEST for what cannot be a key. */
enum status write_check(struct http_request *req);
/* The same, and the caller, the key and what it stands for. */
enum status write_begin(struct http_request *req, struct command *cmd);
/* Send the reply, or, unless `st` of command_run is OK, say what the failure means. */
enum status write_end(struct http_request *req, struct command *cmd, enum status st);
/* For a command's work: make the reply to what became of an order. What its state decides is
 * final, as success is; any other failure comes back as it is. */
enum status write_conclude(struct command *cmd, enum status st, const struct order *o);
