/* Inside of the MySQL client: one connection. Include <mysql.h> first: MariaDB's and MySQL's
 * cannot be declared forward in one way. */
#pragma once
#include "db.h"

enum { DB_STATEMENTS_MAX = 64 };

struct db_statement {
    const char *sql; /* the key is its address */
    MYSQL_STMT *stmt;
};

struct db_conn {
    MYSQL *mysql;
    struct pool *pool; /* that it goes back to */
    uint64_t epoch;
    char broken[256]; /* why the connection is lost, or "" */
    bool doomed;      /* the server rolled the transaction back: nothing but ROLLBACK goes */
    unsigned contended_code;
    uint64_t insert_id;
    struct db_statement statements[DB_STATEMENTS_MAX];
    size_t statement_count, oldest;
};

/* What a server's or client's error number means; remembers it in the connection. `sql` is for
 * the log. */
enum status db_failed(struct db_conn *c, unsigned code, const char *error, const char *sql);
/* A statement without values, rows or preparation, such as COMMIT. */
enum status db_simple(struct db_conn *c, const char *sql);
/* Bring the schema up to date over a connection that allows multiple statements. UNAVAILABLE
 * while another process does it. */
enum status db_schema_upgrade(MYSQL *mysql, const struct embed_folder *schema, struct strbuf *why);
