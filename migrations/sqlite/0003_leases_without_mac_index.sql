-- nobody asks this table for a hardware address (the history is asked), and hardware addresses are scattered:
-- each new lease wrote a page of the index
DROP INDEX lease_mac;
