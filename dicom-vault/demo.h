/* Damage on request, for a demo that shows how it is refused: see fault.h. */
#pragma once
#include "http.h"

/* The vault's folder, as given; before the first request. */
void demo_init(const char *data);
/* POST /demo/flip/{id}: turn one bit in the middle of the file's payload on disk. Blocking. */
enum status demo_flip(struct http_request *req);
