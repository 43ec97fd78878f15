-- Who does not pick up in time loses the order. Set while an order is assigned, and never else, so
-- that the index holds nothing but leases.
ALTER TABLE orders ADD COLUMN lease_until DATETIME(3) NULL, ADD KEY by_lease (lease_until);

UPDATE orders SET lease_until = NOW(3) + INTERVAL 10 MINUTE WHERE status = 'assigned';
