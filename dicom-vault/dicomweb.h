/* DICOMweb (PS3.18): the handlers of the routes under /dicomweb, and what its files share. Where it
 * departs from the standard: DICOMWEB.md. */
#pragma once
#include "dicom_index.h"
#include "dicomweb_media.h"
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
/* *which (may be NULL) of `offers` Accept likes best. NOT_ACCEPTABLE, BAD_REQUEST, with the reason.
 */
enum status dicomweb_accept(struct http_request *req, const struct offer *offers, size_t n,
                            size_t *which);
enum status dicomweb_accept_json(struct http_request *req);

/* "http://host/dicomweb/studies/<study>...": the parts after `study` may be NULL. */
void dicomweb_url(struct http_request *req, const char *study, const char *series,
                  const char *instance, struct strbuf *out);
/* A query for what the route's {study}, {series} and {instance} name. */
void dicomweb_path_query(struct http_request *req, struct dicom_query *q);
/* As routes_recorded, with an entry for each of these objects, all in one transaction; for none of
 * several when it failed. */
enum status dicomweb_recorded(struct http_request *req, const struct strbuf *ids, enum status s);
/* Put into the audit log, which has it as done already, that the reply breaks off at that object.
 */
void dicomweb_broke_off(struct http_request *req, const uint8_t id[OBJECT_ID], enum status s);
/* The first instance that the path names. NOT_FOUND. */
enum status dicomweb_find_one(struct http_request *req, uint8_t id[OBJECT_ID]);
