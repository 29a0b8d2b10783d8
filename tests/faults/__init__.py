"""What the service must survive: the rows of faults and load, one by one."""
