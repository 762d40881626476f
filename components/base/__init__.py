"""What every component is made of: fields, the component and its report, the ports it may call, the site it runs on."""
