/* DICOMweb (PS3.18): the handlers of the routes under /dicomweb, and what its files share. Where it
 * departs from the standard: DICOMWEB.md. */
#pragma once
#include "dicom_index.h"
#include "http.h"
#include "secret.h"
#include "store.h"

/* What the handlers work on; both outlive the server. Main thread, before http_start. */
void dicomweb_init(struct store *store, struct workers *workers);

http_handler dicomweb_store, dicomweb_search_studies, dicomweb_search_series,
    dicomweb_search_instances, dicomweb_retrieve, dicomweb_metadata, dicomweb_frames,
    dicomweb_rendered, dicomweb_thumbnail, dicomweb_bulkdata, dicomweb_delete_study;
extern const struct body_stream dicomweb_store_body;

/* --- shared by dicomweb_*.c ------------------------------------------------------------------ */

extern struct store *dicomweb_vault;
/* Run `release(state)` on the pool if it has room. */
void dicomweb_release_later(void (*release)(void *state), void *state);

#define DICOM_JSON "application/dicom+json"
/* Takes `root` over. */
enum status dicomweb_reply(struct http_request *req, int code, json_t *root);
/* NOT_ACCEPTABLE, with the reason, unless Accept has one of these types, a range that has it, or is
 * absent. *which (may be NULL) is the first in Accept that fits: an index of `types`, which is
 * NULL-terminated and has the default first. */
enum status dicomweb_accept(struct http_request *req, const char *const *types, size_t *which);

/* "http://host/dicomweb/studies/<study>...": the parts after `study` may be NULL. */
void dicomweb_url(struct http_request *req, const char *study, const char *series,
                  const char *instance, struct strbuf *out);
/* A query for what the route's {study}, {series} and {instance} name. */
void dicomweb_path_query(struct http_request *req, struct dicom_query *q);
/* As routes_recorded, with an entry for each of these objects, all in one transaction. */
enum status dicomweb_recorded(struct http_request *req, const struct strbuf *ids, enum status s);
/* The first instance that the path names. NOT_FOUND. */
enum status dicomweb_find_one(struct http_request *req, uint8_t id[OBJECT_ID]);
