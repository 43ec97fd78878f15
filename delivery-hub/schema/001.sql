-- Only SQL that MySQL 8.4 and MariaDB 10.6 both take. People's ids compare byte by byte.

-- A row to lock: it makes one partner's accepts take turns, so that the count of held orders
-- (never stored) is right when it is compared with the capacity.
CREATE TABLE partners (
    id VARCHAR(64) NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE orders (
    id BIGINT NOT NULL AUTO_INCREMENT,
    status ENUM ('pending', 'assigned', 'picked_up', 'delivered', 'cancelled') NOT NULL,
    version BIGINT NOT NULL, -- one more with every transition
    fence BIGINT NOT NULL,   -- one more with every assignment
    customer VARCHAR(64) NOT NULL,
    partner VARCHAR(64) NULL, -- who holds it, or brought it
    pickup VARCHAR(200) NOT NULL,
    dropoff VARCHAR(200) NOT NULL,
    note VARCHAR(500) NOT NULL,
    fee_cents INT NOT NULL,
    created_at DATETIME(3) NOT NULL,
    updated_at DATETIME(3) NOT NULL,
    PRIMARY KEY (id),
    KEY by_status (status, id),
    KEY by_customer (customer, id),
    KEY by_customer_status (customer, status, id),
    KEY by_partner (partner, id),
    KEY by_partner_status (partner, status, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- One row a transition, written in its transaction: what is still to be published, and later the
-- order's history.
CREATE TABLE outbox (
    id BIGINT NOT NULL AUTO_INCREMENT,
    order_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    event VARCHAR(32) NOT NULL,
    actor VARCHAR(64) NOT NULL,
    body TEXT NOT NULL, -- the order as it then was, JSON
    created_at DATETIME(3) NOT NULL,
    published_at DATETIME(3) NULL,
    PRIMARY KEY (id),
    UNIQUE KEY by_order (order_id, version),
    KEY unpublished (published_at, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- What was answered to a request that carried an Idempotency-Key.
CREATE TABLE idempotency (
    caller VARCHAR(64) NOT NULL,
    idem_key VARCHAR(128) NOT NULL,
    request BINARY(32) NOT NULL, -- SHA-256 of role, route, order and body
    code SMALLINT NOT NULL,      -- 0 only inside the transaction that does the work
    order_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    body TEXT NOT NULL,
    created_at DATETIME(3) NOT NULL,
    PRIMARY KEY (caller, idem_key),
    KEY by_age (created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
